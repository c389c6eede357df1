"""Floor 2: the text of a change becomes hunks, hunks find their places, and a
plan says what every file will hold.
"""
