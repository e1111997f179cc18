"""Walks between two noises, between prompts, and between real images."""
