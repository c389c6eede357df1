"""`/health` beside its peers, under load, under faults, and for a long time. `python -m benchmarks.health.run --help`."""
