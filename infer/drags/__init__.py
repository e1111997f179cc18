"""Points of an image dragged to other places (DragDiffusion)."""
