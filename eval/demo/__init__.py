"""The demonstration: what the embedded models do, shown and measured on one page."""
