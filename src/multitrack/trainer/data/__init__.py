"""From data sets to batches on the right device."""
