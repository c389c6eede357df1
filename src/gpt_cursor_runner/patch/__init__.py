"""Floor 1: what a patch is. Pure values and rules; no input, no output, time
passed in.
"""
