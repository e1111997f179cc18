"""One model's adapters, alone and together, by every metric: `latentgeo compare`."""
