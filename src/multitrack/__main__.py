"""``python -m multitrack``: the command line."""

from multitrack.cli import app

if __name__ == "__main__":
    app()
