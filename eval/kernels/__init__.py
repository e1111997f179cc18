"""The Triton kernels measured: on a GPU beside their peers, and compiled without one."""
