"""What the house costs, measured: peers and ours side by side in one run."""
