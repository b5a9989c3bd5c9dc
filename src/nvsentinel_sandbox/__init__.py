"""A Kubernetes API server and a simulated NVSentinel in one process, on loopback."""
