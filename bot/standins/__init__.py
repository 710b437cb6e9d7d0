"""Loopback services for the demo and the tests."""
