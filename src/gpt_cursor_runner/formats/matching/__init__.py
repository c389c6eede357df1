"""Finds the place of each hunk in a file, applies it, and explains a refusal."""
