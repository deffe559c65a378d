"""The site, and the ground that every desk stands on."""
