"""What runs inside a sandbox: standard library only, Python 3.9 and newer, started as its first process."""
