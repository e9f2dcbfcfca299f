"""The trackers that are read: one module each, which nothing else names."""
