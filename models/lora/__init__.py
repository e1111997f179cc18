"""Low-rank adapters: which layers, how they sit there, their files."""
