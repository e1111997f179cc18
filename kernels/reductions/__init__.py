"""Sums over each sample, and the isometry loss's ratio of traces, with derivatives."""
