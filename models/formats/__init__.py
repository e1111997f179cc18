"""Checkpoints of other programs, read and written: one file per family, `families` tells them."""
