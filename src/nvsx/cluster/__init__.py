"""The one door to Kubernetes: gateway, reflectors, snapshots and log following."""
