"""The mathematics, one file per paper or idea, and the machinery to run it."""
