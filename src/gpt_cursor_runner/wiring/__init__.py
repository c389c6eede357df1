"""Config to concrete parts: the one place where concrete classes are chosen.
One module per process, so that each loads no more than it runs.
"""
