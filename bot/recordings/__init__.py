"""A run as a file: exported, played back, shared."""
