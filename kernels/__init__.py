"""Fused operators, each with a plain PyTorch reference that defines it."""
