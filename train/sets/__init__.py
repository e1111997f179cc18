"""Data sets that are made here: the avatars with their masks and pairs, emoji."""
