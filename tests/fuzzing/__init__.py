"""Hostile and broken patches without end: `make fuzz`. Every input follows from
a seed and a number alone.
"""
