"""The cost of planning: large files, many hunks, every rung of the ladder, and
hostile input.
"""
