"""Files: what each purpose allows, where bytes are kept, and who may see them."""
