"""Walks between prompts under several couplings, measured and compared."""
