"""The commands on a daemon's runs: `runs`, `attach`, `silence`."""
