"""Benchmarks: the product beside its peers, or beside a control, in one run."""
