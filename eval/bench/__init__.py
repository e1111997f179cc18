"""Benchmarks: what a step, a model or a kernel costs, timed beside a peer or counted."""
