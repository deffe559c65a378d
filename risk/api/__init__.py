"""The risk desk's part of the HTTP API."""
