"""What a run on a machine takes: command line, settings, files, devices, seeds, ranks."""
