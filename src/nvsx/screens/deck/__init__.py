"""The flight deck: a run on a full screen, drawn from nothing but its journal."""
