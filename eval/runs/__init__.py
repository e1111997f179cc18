"""Long measurements: jobs shared out and resumed, rows on disk, results with intervals."""
