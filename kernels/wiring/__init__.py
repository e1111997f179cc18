"""What all operators share: autograd, dual numbers, vmap, the choice of implementation."""
