"""Parser of the text of a unified diff, plain or git's."""
