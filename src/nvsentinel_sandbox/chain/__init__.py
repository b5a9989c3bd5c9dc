"""NVSentinel's modules, simulated, and the people beside them."""
