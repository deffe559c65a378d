"""What must not be read by whoever reads the database: keys, sealed fields, backups."""
