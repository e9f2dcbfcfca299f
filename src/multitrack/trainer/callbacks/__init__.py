"""The callback system: events, what callbacks may ask for, and the callbacks that come along."""
