"""Telling people: what hooks hand over, the targets, and what delivers to them."""
