"""The report of past runs: what the journal says, for people who were not there."""
