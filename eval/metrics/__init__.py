"""The metrics: what each measures, apart from any command."""
