"""Pictures on their way in and out: files, grids, strips, plots, videos."""
