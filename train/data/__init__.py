"""Data: the endless, resumable stream of batches of a source, and latents in its place."""
