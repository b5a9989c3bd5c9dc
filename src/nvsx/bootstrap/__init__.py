"""The composition root: settings in, wired objects out. Only it knows concrete classes."""
