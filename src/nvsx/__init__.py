"""nvsx: the operator control plane for NVSentinel."""

__version__ = "0.1.0"
