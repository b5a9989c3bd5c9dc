"""Telling people: the targets, and what delivers to them."""
