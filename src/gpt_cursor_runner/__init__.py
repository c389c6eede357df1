"""GPT-Cursor Runner: a posted patch becomes a checked, tagged commit, or
nothing changes.
"""

__version__ = "0.3.0"
