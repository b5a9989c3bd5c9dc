"""The webhook source: HTTP server, authentication, decoders, answers."""
