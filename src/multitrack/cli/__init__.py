"""The command line: `multitrack`."""
