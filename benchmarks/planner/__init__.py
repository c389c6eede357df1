"""What planning costs: large files, many hunks, every rung of the ladder, and
input made to be slow.
"""
