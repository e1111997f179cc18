"""Models by their names, and images drawn by them, with prompts and without."""
