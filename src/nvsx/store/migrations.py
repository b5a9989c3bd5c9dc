"""How the tables came to be: small steps, in order, each applied once and recorded.

To change the tables append a function to `STEPS` and follow suit in schema; a step that
was released is never edited. Steps speak plain SQL that SQLite and PostgreSQL both
understand, and none of schema's objects, which will have moved on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, inspect, text

from nvsx.core.errors import StoreError

Step = Callable[[Connection], None]


def journal_of_runs(db: Connection) -> None:
    """Runs, their journals, and the claims on nodes."""
    _execute_all(
        db,
        """CREATE TABLE runs (
            run_id TEXT PRIMARY KEY, runbook TEXT NOT NULL, cluster TEXT NOT NULL,
            node TEXT NOT NULL, "trigger" TEXT NOT NULL, status TEXT NOT NULL,
            created DOUBLE PRECISION NOT NULL, finished DOUBLE PRECISION,
            session_key TEXT NOT NULL, mttr_s DOUBLE PRECISION, degraded BOOLEAN NOT NULL,
            reason TEXT NOT NULL, sandbox BOOLEAN NOT NULL, drill BOOLEAN NOT NULL,
            project TEXT NOT NULL, owner TEXT NOT NULL, epoch INTEGER NOT NULL,
            last_seq INTEGER NOT NULL)""",
        "CREATE INDEX runs_by_age ON runs (created)",
        "CREATE INDEX runs_unfinished ON runs (created) WHERE finished IS NULL",
        """CREATE TABLE journal (
            run_id TEXT NOT NULL REFERENCES runs (run_id), seq INTEGER NOT NULL,
            t DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
            PRIMARY KEY (run_id, seq))""",
        """CREATE TABLE claims (
            cluster TEXT NOT NULL, node TEXT NOT NULL,
            run_id TEXT NOT NULL REFERENCES runs (run_id),
            PRIMARY KEY (cluster, node))""",
        "CREATE INDEX claims_by_run ON claims (run_id)",
    )


def inbox_of_the_daemon(db: Connection) -> None:
    """Received events, what they led to, silences, storms, and what people ask of runs."""
    _execute_all(
        db,
        """CREATE TABLE events (
            event_id TEXT PRIMARY KEY, received DOUBLE PRECISION NOT NULL, source TEXT NOT NULL,
            cluster TEXT NOT NULL, node TEXT NOT NULL, outcome TEXT NOT NULL,
            run_id TEXT NOT NULL, reason TEXT NOT NULL, repeats INTEGER NOT NULL,
            last_received DOUBLE PRECISION NOT NULL, body TEXT NOT NULL)""",
        "CREATE INDEX events_by_age ON events (received)",
        "CREATE INDEX events_by_run ON events (run_id) WHERE run_id <> ''",
        """CREATE TABLE deliveries (
            "key" TEXT PRIMARY KEY, event_id TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)""",
        "CREATE INDEX deliveries_by_age ON deliveries (at)",
        "CREATE TABLE requests (run_id TEXT PRIMARY KEY, body TEXT NOT NULL)",
        """CREATE TABLE incidents (
            cluster TEXT NOT NULL, node TEXT NOT NULL, "key" TEXT NOT NULL, run_id TEXT NOT NULL,
            PRIMARY KEY (cluster, node, "key"))""",
        """CREATE TABLE silences (
            silence_id INTEGER PRIMARY KEY, cluster TEXT NOT NULL, node TEXT NOT NULL,
            until DOUBLE PRECISION NOT NULL, reason TEXT NOT NULL, author TEXT NOT NULL,
            created DOUBLE PRECISION NOT NULL)""",
        """CREATE TABLE storms (
            run_id TEXT PRIMARY KEY, leader TEXT NOT NULL, cluster TEXT NOT NULL,
            runbook TEXT NOT NULL, joined DOUBLE PRECISION NOT NULL)""",
        "CREATE INDEX storms_by_leader ON storms (leader)",
        "CREATE INDEX storms_by_runbook ON storms (cluster, runbook, joined)",
        """CREATE TABLE asks (
            ask_id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, kind TEXT NOT NULL,
            text TEXT NOT NULL, author TEXT NOT NULL, code TEXT NOT NULL)""",
        'CREATE TABLE cursors (source TEXT PRIMARY KEY, "value" TEXT NOT NULL)',
        "CREATE INDEX runs_by_node ON runs (cluster, node, created)",
        "CREATE INDEX runs_by_runbook ON runs (cluster, runbook, created)",
    )


def stages_and_words_of_runs(db: Connection) -> None:
    """How long stages took, and what runs are found by: tags, faults, GPUs."""
    _execute_all(
        db,
        """CREATE TABLE run_stages (
            run_id TEXT NOT NULL REFERENCES runs (run_id), stage TEXT NOT NULL,
            status TEXT NOT NULL, elapsed_s DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (run_id, stage))""",
        """CREATE TABLE run_words (
            run_id TEXT NOT NULL REFERENCES runs (run_id), kind TEXT NOT NULL,
            word TEXT NOT NULL, PRIMARY KEY (run_id, kind, word))""",
        "CREATE INDEX run_words_by_word ON run_words (kind, word)",
        "CREATE INDEX runs_on_nodes ON runs (node, created)",
    )
    told = db.execute(
        text("SELECT run_id, kind, body FROM journal WHERE kind IN ('session', 'stage_end')")
    ).all()
    stages, words = [], set()
    for run_id, kind, body in told:
        event = json.loads(body)
        if kind == "stage_end":
            fields = {name: event[name] for name in ("stage", "status", "elapsed_s")}
            stages.append({"run_id": run_id, **fields})
        for fault in event.get("session", {}).get("events", ()) if kind == "session" else ():
            name = " ".join((fault["check"], *sorted(fault.get("error_codes", ()))))
            words.add((run_id, "fault", name))
            known = {"GPU_UUID": "gpu", "PCI": "pci"}
            entities = fault.get("entities", ())
            words |= {(run_id, known[e], v) for e, v in entities if e in known}
    if stages:
        db.execute(
            text("INSERT INTO run_stages VALUES (:run_id, :stage, :status, :elapsed_s)"), stages
        )
    if words:
        rows = [{"r": r, "k": k, "w": w} for r, k, w in sorted(words)]
        db.execute(text("INSERT INTO run_words VALUES (:r, :k, :w)"), rows)


def explanations_of_events(db: Connection) -> None:
    """What routing said, kept once for all events it said the same of."""
    _execute_all(
        db,
        "CREATE TABLE explanations (digest TEXT PRIMARY KEY, body TEXT NOT NULL)",
        "ALTER TABLE events ADD COLUMN explained TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX events_by_explanation ON events (explained)",
    )


def lengths_of_stages_in_a_row(db: Connection) -> None:
    """The stages that passed as columns, a row a run instead of a row a stage: statistics
    over many runs are as slow as the rows they read."""
    stages = "preflight baseline inject detect quarantine drain remediate recover postmortem"
    names = stages.split()
    columns = ", ".join(f"{stage} DOUBLE PRECISION" for stage in names)
    passed = ", ".join(f"MAX(CASE stage WHEN '{stage}' THEN elapsed_s END)" for stage in names)
    # SQLite keeps such a table in the order of its key; elsewhere there is no other order.
    clustered = "WITHOUT ROWID" if db.dialect.name == "sqlite" else ""
    _execute_all(
        db,
        "CREATE TABLE run_lengths "
        f"(run_id TEXT PRIMARY KEY REFERENCES runs (run_id), {columns}) {clustered}",
        f"INSERT INTO run_lengths SELECT run_id, {passed} FROM run_stages "  # noqa: S608 - ours
        "WHERE status = 'pass' GROUP BY run_id",
        "DROP TABLE run_stages",
        "DROP INDEX run_words_by_word",
        "CREATE INDEX run_words_by_word ON run_words (kind, word, run_id)",
    )


def rows_that_stay(db: Connection) -> None:
    """Journal rows are only ever added: the database refuses to change one, and to delete those
    of a run that goes on. Pruning deletes finished runs."""
    if db.dialect.name != "sqlite":
        return  # its triggers are SQLite's own language
    _execute_all(
        db,
        """CREATE TRIGGER journal_rows_stay BEFORE UPDATE ON journal
            BEGIN SELECT RAISE(ABORT, 'journal rows are append-only'); END""",
        """CREATE TRIGGER journal_rows_go_with_their_run BEFORE DELETE ON journal
            WHEN (SELECT finished FROM runs WHERE run_id = OLD.run_id) IS NULL
            BEGIN SELECT RAISE(ABORT, 'journal rows are append-only'); END""",
    )


def incidents_of_nodes(db: Connection) -> None:
    """The incidents' journal beside that of runs. A run of before becomes an incident of its own:
    what is known of it is the run, and not more."""
    _execute_all(
        db,
        """CREATE TABLE incident_journal (cluster TEXT NOT NULL, node TEXT NOT NULL,
            number INTEGER NOT NULL, incident TEXT NOT NULL, seq INTEGER NOT NULL,
            t DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
            PRIMARY KEY (cluster, node, number))""",
        "CREATE INDEX incident_entries ON incident_journal (incident, seq)",
        """CREATE TABLE incident_index (incident TEXT PRIMARY KEY, cluster TEXT NOT NULL,
            node TEXT NOT NULL, opened DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION,
            body TEXT NOT NULL)""",
        "CREATE INDEX incidents_on_nodes ON incident_index (cluster, node, opened)",
        "CREATE INDEX incidents_by_time ON incident_index (opened)",
        """CREATE TABLE incident_keys (cluster TEXT NOT NULL, "key" TEXT NOT NULL,
            incident TEXT NOT NULL, PRIMARY KEY (cluster, "key"))""",
        "CREATE TABLE incident_runs (run_id TEXT PRIMARY KEY, incident TEXT NOT NULL)",
        "CREATE INDEX runs_of_incidents ON incident_runs (incident, run_id)",
    )
    numbers: dict[tuple[str, str], int] = {}
    known = db.execute(
        text(
            "SELECT run_id, runbook, cluster, node, created, finished, status, session_key, "
            "mttr_s, sandbox, drill, reason FROM runs WHERE node <> '' ORDER BY created, run_id"
        )
    ).mappings()
    rows, index = [], []
    for run in list(known):
        incident = f"i-{run['run_id'].removeprefix('r-')}"
        where = (run["cluster"], run["node"])
        for seq, (kind, t, fields) in enumerate(_old_run_as_incident(run), 1):
            numbers[where] = numbers.get(where, 0) + 1
            body = json.dumps({"event": kind, **fields})
            rows.append(
                {
                    "cluster": run["cluster"],
                    "node": run["node"],
                    "number": numbers[where],
                    "incident": incident,
                    "seq": seq,
                    "t": t,
                    "kind": kind,
                    "body": body,
                }
            )
        index.append(_old_run_as_row(run, incident))
    if rows:
        names = "cluster, node, number, incident, seq, t, kind, body"
        values = ", ".join(f":{name}" for name in names.split(", "))
        db.execute(text(f"INSERT INTO incident_journal ({names}) VALUES ({values})"), rows)  # noqa: S608 - ours
        db.execute(
            text(
                "INSERT INTO incident_index (incident, cluster, node, opened, ended, body) "
                "VALUES (:incident, :cluster, :node, :opened, :ended, :body)"
            ),
            index,
        )
        db.execute(
            text(
                "INSERT INTO incident_runs (run_id, incident) "
                "SELECT run_id, 'i-' || substr(run_id, 3) FROM runs WHERE node <> ''"
            )
        )
    if db.dialect.name == "sqlite":
        _execute_all(
            db,
            """CREATE TRIGGER incident_rows_stay BEFORE UPDATE ON incident_journal
                BEGIN SELECT RAISE(ABORT, 'journal rows are append-only'); END""",
        )


def _old_run_as_incident(run: Any) -> Iterator[tuple[str, float, dict[str, Any]]]:
    opened = {
        "key": run["session_key"] or run["run_id"],
        "node": run["node"],
        "by": "fault",
        "late": True,
        "sandbox": bool(run["sandbox"]),
        "drill": bool(run["drill"]),
    }
    yield "opened", run["created"], opened
    yield "run_joined", run["created"], {"run_id": run["run_id"], "runbook": run["runbook"]}
    if run["finished"] is None:
        return
    yield "run_ended", run["finished"], {"run_id": run["run_id"], "status": run["status"]}
    how, said = _old_ending(run)
    yield "ended", run["finished"], {"how": how, "at": run["finished"], "text": said}


def _old_ending(run: Any) -> tuple[str, str]:
    """A run that passed had seen its node released; of any other nothing is known."""
    if run["status"] == "passed":
        return "recovered", ""
    return "closed", "an earlier nvsx followed it no further than its run"


def _old_run_as_row(run: Any, incident: str) -> dict[str, Any]:
    over = run["finished"] is not None
    how, said = _old_ending(run) if over else ("", "")
    row = {
        "incident": incident,
        "cluster": run["cluster"],
        "node": run["node"],
        "key": run["session_key"] or run["run_id"],
        "state": "over" if over else "observing",
        "opened": run["created"],
        "code": how,
        "cause": said,
        "sandbox": bool(run["sandbox"]),
        "drill": bool(run["drill"]),
        "ended": run["finished"],
        "how": how,
        "repair_s": run["mttr_s"],
        "runbooks": [[run["runbook"], []]],
        "runs": 1,
        "failed_runs": int(over and run["status"] != "passed"),
    }
    return {
        **{name: row[name] for name in ("incident", "cluster", "node", "opened", "ended")},
        "body": json.dumps(row),
    }


def runs_beside_each_other(db: Connection) -> None:
    """A run claims a node for its runbook and incident; storms count faults by their own time.

    What told incidents apart before they had a journal goes.
    """
    _execute_all(
        db,
        "ALTER TABLE claims RENAME TO claims_of_nodes",
        "DROP INDEX claims_by_run",
        """CREATE TABLE claims (
            cluster TEXT NOT NULL, node TEXT NOT NULL, runbook TEXT NOT NULL,
            incident TEXT NOT NULL, run_id TEXT NOT NULL REFERENCES runs (run_id),
            PRIMARY KEY (cluster, node, runbook, incident))""",
        """INSERT INTO claims (cluster, node, runbook, incident, run_id)
            SELECT c.cluster, c.node, r.runbook, COALESCE(i.incident, ''), c.run_id
            FROM claims_of_nodes c JOIN runs r ON r.run_id = c.run_id
            LEFT JOIN incident_runs i ON i.run_id = c.run_id""",
        "DROP TABLE claims_of_nodes",
        "CREATE INDEX claims_by_run ON claims (run_id)",
        "DROP TABLE incidents",
        """CREATE TABLE storm_faults (
            run_id TEXT PRIMARY KEY, leader TEXT NOT NULL, cluster TEXT NOT NULL,
            seen DOUBLE PRECISION NOT NULL, body TEXT NOT NULL)""",
        "CREATE INDEX storm_faults_by_age ON storm_faults (cluster, seen)",
        "CREATE INDEX storm_faults_by_leader ON storm_faults (leader)",
    )
    old = db.execute(
        text(
            "SELECT s.run_id, s.leader, s.cluster, s.joined, r.node "
            "FROM storms s JOIN runs r ON r.run_id = s.run_id"
        )
    ).mappings()
    rows = [
        {
            "run_id": row["run_id"],
            "leader": row["leader"],
            "cluster": row["cluster"],
            "seen": row["joined"],
            "body": json.dumps({"node": row["node"], "at": row["joined"]}),
        }
        for row in list(old)
    ]
    if rows:
        db.execute(
            text(
                "INSERT INTO storm_faults (run_id, leader, cluster, seen, body) "
                "VALUES (:run_id, :leader, :cluster, :seen, :body)"
            ),
            rows,
        )
    _execute_all(db, "DROP TABLE storms")


def outbox_of_messages(db: Connection) -> None:
    """What people are to be told, and what became of it at each target."""
    _execute_all(
        db,
        """CREATE TABLE outbox_messages (
            "call" TEXT PRIMARY KEY, subject TEXT NOT NULL, accepted DOUBLE PRECISION NOT NULL,
            body TEXT NOT NULL)""",
        """CREATE TABLE outbox_deliveries (
            number INTEGER PRIMARY KEY,
            "call" TEXT NOT NULL REFERENCES outbox_messages ("call"),
            target TEXT NOT NULL, kind TEXT NOT NULL, fallback BOOLEAN NOT NULL,
            incident TEXT NOT NULL, subject TEXT NOT NULL, is_page BOOLEAN NOT NULL,
            state TEXT NOT NULL, due DOUBLE PRECISION NOT NULL, decided DOUBLE PRECISION NOT NULL,
            tries INTEGER NOT NULL, begun DOUBLE PRECISION, owner TEXT NOT NULL,
            unsure BOOLEAN NOT NULL, reason TEXT NOT NULL, role TEXT NOT NULL,
            action TEXT NOT NULL, vendor_key TEXT NOT NULL, account TEXT NOT NULL,
            settled DOUBLE PRECISION, merged_into INTEGER NOT NULL, receipt TEXT NOT NULL)""",
        "CREATE INDEX outbox_waiting ON outbox_deliveries (due) WHERE state = 'waiting'",
        'CREATE INDEX outbox_of_calls ON outbox_deliveries ("call")',
        "CREATE INDEX outbox_of_incidents ON outbox_deliveries (incident, number)",
        "CREATE INDEX outbox_of_subjects ON outbox_deliveries (subject, number)",
        "CREATE INDEX outbox_openings ON outbox_deliveries (subject, target) "
        "WHERE state = 'delivered' AND action IN ('open page', 'open ticket')",
    )


STEPS: Sequence[Step] = (
    journal_of_runs,
    inbox_of_the_daemon,
    stages_and_words_of_runs,
    explanations_of_events,
    lengths_of_stages_in_a_row,
    rows_that_stay,
    incidents_of_nodes,
    runs_beside_each_other,
    outbox_of_messages,
)


def version(db: Connection) -> int:
    """The number of steps applied to this database; 0 for a new one."""
    if not inspect(db).has_table("migrations"):
        return 0
    return int(db.execute(text("SELECT COALESCE(MAX(version), 0) FROM migrations")).scalar_one())


def migrate(db: Connection, where: str, now: float) -> None:
    """Bring a database up to date, in the caller's transaction, which must hold its lock.

    `where` names it in messages. Raises StoreError when a newer nvsx has written it.
    """
    found = version(db)
    if found > len(STEPS):
        raise StoreError(
            f"{where} was written by a newer nvsx (schema {found}, this one knows {len(STEPS)})",
            "upgrade nvsx, or use another state folder with NVSX_STATE_DIR",
        )
    if found == 0:
        _execute_all(
            db,
            """CREATE TABLE IF NOT EXISTS migrations (
                version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied DOUBLE PRECISION NOT NULL)
            """,
        )
    for number, step in enumerate(STEPS[found:], found + 1):
        step(db)
        db.execute(
            text("INSERT INTO migrations (version, name, applied) VALUES (:v, :n, :t)"),
            {"v": number, "n": step.__name__, "t": now},
        )


def _execute_all(db: Connection, *statements: str) -> None:
    for statement in statements:
        db.execute(text(statement))
