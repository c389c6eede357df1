"""Telling people: what a letter says, where it goes, and how it gets there at
least once.
"""
