"""`nvsx sandbox`: a cluster in a process."""
