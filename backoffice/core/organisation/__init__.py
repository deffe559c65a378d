"""The house itself: entities, their documents, who may change them."""
