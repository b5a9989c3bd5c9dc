"""What people and programs read: text, JSONL, deck, shell, report."""
