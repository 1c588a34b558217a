"""A run: its settings, its directory, its parts, and the state that goes through the loop."""
