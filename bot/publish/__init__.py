"""From a sandbox's files to a pull request."""
