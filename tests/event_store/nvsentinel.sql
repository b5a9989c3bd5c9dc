-- NVSentinel's tables and triggers, as its services create them when they start.
CREATE TABLE health_events (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    node_name VARCHAR(255) NOT NULL,
    event_type TEXT,
    severity TEXT,
    recommended_action TEXT,
    node_quarantined TEXT,
    user_pods_eviction_status TEXT DEFAULT 'NotStarted',
    user_pods_eviction_message TEXT,
    fault_remediated BOOLEAN,
    last_remediation_timestamp TIMESTAMPTZ,
    document JSONB NOT NULL,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW(),
    quarantine_finish_timestamp TIMESTAMPTZ,
    drain_finish_timestamp TIMESTAMPTZ
);
CREATE INDEX ON health_events (created_at);
CREATE TABLE maintenance_events (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), document JSONB);
CREATE TABLE resume_tokens (
    client_name TEXT PRIMARY KEY, resume_token JSONB, last_updated TIMESTAMPTZ DEFAULT NOW()
);
CREATE TABLE datastore_changelog (
    id BIGSERIAL PRIMARY KEY,
    table_name TEXT NOT NULL,
    record_id UUID NOT NULL,
    operation TEXT NOT NULL,
    old_values JSONB,
    new_values JSONB,
    changed_at TIMESTAMPTZ DEFAULT NOW(),
    processed BOOLEAN DEFAULT FALSE
);
CREATE FUNCTION log_table_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE changed datastore_changelog;
BEGIN
    INSERT INTO datastore_changelog (table_name, record_id, operation, old_values, new_values)
    VALUES (
        TG_TABLE_NAME,
        CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END,
        TG_OP,
        CASE TG_OP WHEN 'INSERT' THEN NULL ELSE to_jsonb(OLD) END,
        CASE TG_OP WHEN 'DELETE' THEN NULL ELSE to_jsonb(NEW) END
    ) RETURNING * INTO changed;
    PERFORM pg_notify('nvsentinel_changes', json_build_object(
        'id', changed.id, 'table', TG_TABLE_NAME, 'operation', TG_OP)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER health_events_changes AFTER INSERT OR UPDATE OR DELETE ON health_events
    FOR EACH ROW EXECUTE FUNCTION log_table_changes();
CREATE TRIGGER maintenance_events_changes AFTER INSERT OR UPDATE OR DELETE ON maintenance_events
    FOR EACH ROW EXECUTE FUNCTION log_table_changes();
