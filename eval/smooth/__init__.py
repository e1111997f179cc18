"""Smooth Diffusion measured: walks, reconstructions, text edits, drags, the paper's tables."""
