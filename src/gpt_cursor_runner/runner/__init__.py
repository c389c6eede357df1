"""Floor 6: the ghost runner, which claims patches and takes each of
them to its end.
"""
