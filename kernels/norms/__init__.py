"""GroupNorm, GroupNorm with SiLU, and LayerNorm, with first and second derivatives."""
