"""Plain text, JSONL and report views of a run's journal."""
