"""What core does over HTTP: core itself knows nothing of the API, so its endpoints stand here."""
