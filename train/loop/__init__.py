"""The training loop: session, steps, checkpoints, moving averages, logs."""
