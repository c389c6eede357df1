"""Floor 5: observes every part from the side and reports its state."""
