"""Attention with first and second derivatives, in forward and in reverse mode."""
