"""Edits in the semantic h-space of a frozen model (Asyrp)."""
