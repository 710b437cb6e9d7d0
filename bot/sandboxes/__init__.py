"""One module a sandbox provider."""
