"""One script per chapter, which computes the numbers and pictures of its text."""
