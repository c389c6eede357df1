"""Floor 0: what knows nothing of this product: clocks, threads, processes, HTTP,
logs.
"""
