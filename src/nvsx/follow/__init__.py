"""Follows a run: stages, watching, scripts, evidence. Sees the cluster through the observer."""
