"""The stereographic chart of the sphere and powers of its metric, with derivatives."""
