"""The checks of a gateway, one file each, with the modules that only they use."""
