"""Checks of runbooks and their hooks: all that can be known without running them."""
