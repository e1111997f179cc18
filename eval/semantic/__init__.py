"""Asyrp measured: semantic edits, the properties of h-space, and its rivals."""
