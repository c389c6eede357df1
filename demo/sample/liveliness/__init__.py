"""A very small service: it says whether it is alive."""
