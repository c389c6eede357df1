"""Runs the checks, judges their readings and publishes the snapshot."""
