"""Runs the checks, judges their results and publishes the snapshot."""
