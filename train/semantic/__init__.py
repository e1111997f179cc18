"""Training of directions in h-space (Asyrp), and of a whole model to compare."""
