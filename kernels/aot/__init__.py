"""Resource reports of the Triton kernels, compiled for GPUs that need not be there."""
