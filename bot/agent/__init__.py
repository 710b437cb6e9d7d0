"""The loop between a model and a sandbox."""
