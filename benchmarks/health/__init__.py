"""`/health` beside its peers, under load, under faults, for long: `python -m
benchmarks.health.run --help`.
"""
