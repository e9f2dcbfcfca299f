"""Keep secrets out of what is recorded: by names, by published formats, and by what is known.

Four things give a secret away: the name that it stands under, a published format of keys, a
password's place in a URL or a key's frame in a text, and being a value of this process's own
environment under a secret's name. One module knows each:

- `names`: which names announce a secret, and which values under such a name are none
- `formats`: what keys of known services look like
- `urls`, `pem`, `pairs`: secrets by their place in a text
- `own`: the secrets of this process
- `text`, `tree`, `command`, `record`: what is searched for all of them
"""

from multitrack.trackers.redact.command import redact_command
from multitrack.trackers.redact.lines import Lines, RedactedStream
from multitrack.trackers.redact.names import looks_secret
from multitrack.trackers.redact.record import Redactor, redact_struct
from multitrack.trackers.redact.spans import REDACTED
from multitrack.trackers.redact.text import redact_text
from multitrack.trackers.redact.tree import redact_table, redact_tree

__all__ = [
    "REDACTED",
    "Lines",
    "RedactedStream",
    "Redactor",
    "looks_secret",
    "redact_command",
    "redact_struct",
    "redact_table",
    "redact_text",
    "redact_tree",
]
