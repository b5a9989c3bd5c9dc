"""The domain: pure values and functions, no I/O, no clock.

Everything above imports from here; nothing here imports from above, and the only
third parties allowed are pydantic and msgspec.
"""
