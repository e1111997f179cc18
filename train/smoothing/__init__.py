"""Training of Smooth Diffusion: an adapter or all weights, and sweeps over both."""
