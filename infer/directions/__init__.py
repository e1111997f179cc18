"""Directions of a noise that nobody labelled, and contents of others injected."""
