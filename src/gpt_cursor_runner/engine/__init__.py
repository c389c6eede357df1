"""Floor 4: who works when. The ledger is the truth and the guard; an engine
only decides whose turn it is.
"""
