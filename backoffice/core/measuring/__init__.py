"""The measuring bench and its database."""
