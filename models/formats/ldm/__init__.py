"""Single files in the names of Latent Diffusion's code."""
