"""What the page stands on: jobs, models that stay loaded, what comes in, what goes out."""
