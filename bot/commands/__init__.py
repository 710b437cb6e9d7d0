"""What stands behind the command line, one command a module."""
