"""Builds the parts of each process from the configuration; concrete classes are
chosen here only. One module per process, so that each loads no more than it
runs.
"""
