"""The toy of Isometric Diffusion: a sphere flattened with and without the isometry loss."""
