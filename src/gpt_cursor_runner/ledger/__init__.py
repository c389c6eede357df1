"""Floor 4: the durable truth. Knows patches, events and keys; knows nothing of
git or HTTP.
"""
