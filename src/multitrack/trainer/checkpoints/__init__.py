"""Checkpoints: whole or not there, readable without unpickling, resumable to the bit."""
