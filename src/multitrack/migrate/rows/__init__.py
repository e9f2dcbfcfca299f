"""Rows of files that people have, read one by one; what is odd in one is told.

`text`, `delimited`, `jsons`, `yamls`, `pickles` and `parquet` read files; `survey` says
which column is the step, which the time; `records` makes records of the journal of them.
"""
