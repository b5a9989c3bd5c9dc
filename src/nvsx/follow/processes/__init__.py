"""Child processes: groups, time limits, masked output and nothing left behind."""
