"""Real projects that `gcr init` must set up by itself: `make try-projects`."""
