"""Plug multitrack into the training loops that people already run.

One module a host, and none loads a host but its own.
"""
