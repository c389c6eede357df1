"""The sandbox in which the owner's commands run on code that an AI wrote."""
