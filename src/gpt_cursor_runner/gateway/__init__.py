"""The HTTP side: receives patches, shows them, and answers for health."""
