"""Floor 3: a plan becomes a sealed commit, the sealed tree is checked, and the
branch moves to it or to nothing.
"""
