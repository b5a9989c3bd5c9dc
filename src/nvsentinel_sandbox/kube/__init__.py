"""The sandbox's Kubernetes API server: HTTP on loopback in front of an object store."""
