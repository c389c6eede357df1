"""Hostile and broken patches: `make fuzz`. A seed and a number determine each
input.
"""
