"""`multitrack view`: a local page over the runs of a directory.

Importing this package loads neither starlette, uvicorn nor numpy; its modules do. They come
with ``pip install "multitrack[view]"``.
"""
