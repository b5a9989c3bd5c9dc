"""Setup, doctor, scaffolder, converter and linter: they return values and never print or exit."""
