"""The incident of a node: its faults, sessions, attempts and times."""
