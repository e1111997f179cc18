"""Data sources, the training loop and one file per training method."""
