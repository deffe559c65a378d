"""The bench of settlement: the world it settles, the rivals it is measured against, and the contests."""
