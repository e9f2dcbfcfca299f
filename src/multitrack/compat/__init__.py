"""Plug multitrack into the training loops that people already run."""
