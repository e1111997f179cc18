"""A page in the browser where each method is tried by hand, and its commands are shown."""
