"""The daemon: sources, intake, dispatcher, recovery, and what only time tells."""
