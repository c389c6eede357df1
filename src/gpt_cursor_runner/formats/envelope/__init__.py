"""Parser of the `apply_patch` envelope and the V4A hunks inside it."""
