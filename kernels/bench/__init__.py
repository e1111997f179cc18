"""Benchmarks of the operators on a GPU: what is run, how it is timed, and what it is held to."""
