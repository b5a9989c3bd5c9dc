"""`nvsx incidents`: what happened to a node, from the first fault to its return."""
