"""A legacy runbook becomes an nvsx runbook, with proof that nothing was lost."""
