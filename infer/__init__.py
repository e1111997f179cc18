"""Sampling, interpolation, inversion and editing with a trained model."""
