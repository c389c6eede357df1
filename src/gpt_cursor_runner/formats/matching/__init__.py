"""Where in a file a hunk belongs: the ladder of comparisons, the choice between
places, the edit, the refusal.
"""
