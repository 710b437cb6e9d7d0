"""The web process: webhook door, live page, event stream."""
