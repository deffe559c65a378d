"""The reports of the house, each a module that builds its sections by SQL."""
