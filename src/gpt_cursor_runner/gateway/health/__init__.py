"""The HTTP routes of health and the shapes of their answers."""
