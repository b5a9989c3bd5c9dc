"""The cluster, its clock, and what can go wrong in it: nodes, machines, faults, variants."""
