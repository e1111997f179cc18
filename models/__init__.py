"""Networks, their configurations and checkpoint formats, and the embedded models."""
