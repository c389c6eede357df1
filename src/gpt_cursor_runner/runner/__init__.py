"""Floor 6, door B: the ghost runner, which claims patches and walks each of
them to its end.
"""
