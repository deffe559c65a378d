"""Reads of the data centre: the same for the portal, the desk, the interface and every file."""
