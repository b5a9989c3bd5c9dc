"""A run's journal: its entries, and all that is folded from them."""
