"""What people are told: messages, what becomes of them at each target, and who decides it. Pure."""
