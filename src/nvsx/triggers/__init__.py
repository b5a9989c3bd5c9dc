"""Where runs come from: webhook server, decoders, poll and watch loops."""
