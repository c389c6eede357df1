"""Floor 2: parses the text of a change into hunks, finds the places of these
hunks, and plans the new contents of every file.
"""
