"""Everything nvsx knows about NVSentinel, in one place."""
