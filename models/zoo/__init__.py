"""Embedded weights and data, each folder with a note of its origin and licence."""
