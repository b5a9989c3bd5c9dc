"""How messages reach people: the hooks' spool, and what is outside of nvsx."""
