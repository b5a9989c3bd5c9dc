"""`nvsx init`: a runbook to start from."""
