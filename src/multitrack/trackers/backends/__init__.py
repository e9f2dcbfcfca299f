"""One module a backend: each adapts one real client to `multitrack.trackers.protocol`."""
