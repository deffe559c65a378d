"""Messages to people: kinds, rendering, pages, and the way out."""
