"""Exercises of the course: the blanks, and how answers to them are checked and marked."""
