"""Live streams to open screens: one process, many browsers, one subscription. See README.md."""
