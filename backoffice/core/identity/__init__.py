"""Who somebody is: signing in, second factors, sessions, and their pages."""
