"""Floor 0: clocks, threads, child processes, HTTP and logs, without any
knowledge of this product.
"""
