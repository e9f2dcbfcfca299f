"""Migration: finished runs of other trackers become run folders, and run folders become tables.

`importing` brings runs in, `sources` has one module for each tracker that is read, `tables`
writes what runs hold as Parquet, CSV or JSON Lines.
"""
