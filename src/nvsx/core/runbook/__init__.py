"""The runbook as it is written and read: schema, catalog, narration, what its watches need."""
