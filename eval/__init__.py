"""Metrics, reports, benchmarks and the audit, and the command line's entry."""
