"""Runs a runbook through its stages; sees the outside world through ports only."""
