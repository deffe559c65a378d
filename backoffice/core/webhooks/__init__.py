"""What the outside world is told: public topics, signatures, pages."""
