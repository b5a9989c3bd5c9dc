"""`nvsx setup`: the first-run wizard."""
