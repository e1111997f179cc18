"""Data: sources of captioned images, and the endless, resumable stream of batches."""
