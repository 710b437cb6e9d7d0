"""One module a model provider."""
