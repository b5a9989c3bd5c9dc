"""`nvsx run`: one run by hand."""
