"""Floor 6, door A: the Flask application."""
