"""The checks of a gateway, one file each."""
