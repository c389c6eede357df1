"""Floor 5: watches every part from the side and says what it saw, never more."""
