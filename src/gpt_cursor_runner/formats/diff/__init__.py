"""Reading the text of a unified diff, plain or git's."""
