"""What the settings of one subject mean: models, sandboxes, the setup phase."""
