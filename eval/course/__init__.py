"""The course: chapters as text and data, what their scripts compute, and how that is kept."""
