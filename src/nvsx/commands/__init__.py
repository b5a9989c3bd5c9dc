"""The commands, one file or folder each, and the one place where an error becomes a message."""
