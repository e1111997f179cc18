"""Training of Isometric Diffusion, of models of images and of models of text and images."""
