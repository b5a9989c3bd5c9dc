"""What a stage waits for: watch kinds, what was seen of a node, and the verdict."""
