"""Images inverted: the noise and the null texts that lead back to them, as files."""
