"""Keep secrets out of the journal: by the names of config keys, and by the look of values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

REDACTED = "<redacted>"

_SECRET_NAME = re.compile(
    r"""(?:^|[_\-./\s])(?:
        api[_-]?key | apikey | access[_-]?key(?:[_-]?id)? | account[_-]?key | private[_-]?key
      | secret(?:[_-]?(?:access[_-]?)?key)? | client[_-]?secret | password | passwd | passphrase
      | credentials? | auth(?:orization|[_-]?(?:token|key|header))? | bearer | cookie
      | connection[_-]?string | tokens? | pat | webhook(?:[_-]?url)?
    )$""",
    re.VERBOSE | re.IGNORECASE,
)
"""Names that end in a word for a secret."""

_TEXT_TOKEN = re.compile(
    r"""(?:^|[_\-./\s])(?:
        (?:pad|eos|bos|unk|mask|sep|cls|stop|start|end|image|audio|video|boi|eoi|decoder_start
          |special|additional_special|extra_special|suppress|begin_suppress|forced_\w+
          |max|min|num|n|total|new|max_new|min_new|total_\w+|num_\w+|per_\w+|seen|valid|train\w*|eval\w*)
        [_-]?tokens?
    )$""",
    re.VERBOSE | re.IGNORECASE,
)
"""Names of the tokens of a language model, which are no secrets."""

_SECRET_VALUE = re.compile(
    r"""
      \bhf_[A-Za-z0-9]{20,} | \bsk-[A-Za-z0-9_\-]{16,} | \bgh[pousr]_[A-Za-z0-9]{20,}
    | \bgithub_pat_[A-Za-z0-9_]{20,} | \bglpat-[A-Za-z0-9_\-]{16,} | \bxox[abprs]-[A-Za-z0-9\-]{10,}
    | \bAKIA[0-9A-Z]{16}\b | \bAIza[0-9A-Za-z_\-]{30,}
    | \beyJ[\w\-]{10,2000}\.[\w\-]{10,4000}\.[\w\-]{5,}
    | -----BEGIN\ [A-Z\ ]{0,40}PRIVATE\ KEY----- | \bwandb_v\d_[A-Za-z0-9_]{20,}
    | (?<=\bBearer\ )[\w.~+/\-]{16,}
    """,
    re.VERBOSE,
)
"""Values in the published formats of well-known keys; bounded, so that no long text takes long."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""Where camelCase has what snake_case has an underscore for."""

_URL_PASSWORD = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.\-]{0,30}://)[^/\s:@]*:[^/\s@]+@", re.IGNORECASE
)


def looks_secret(name: str) -> bool:
    """Tell whether a name announces a secret.

    >>> looks_secret("hub_token"), looks_secret("WANDB_API_KEY"), looks_secret("pad_token")
    (True, True, False)
    """
    name = _HUMP.sub("_", name)
    return bool(_SECRET_NAME.search(name)) and not _TEXT_TOKEN.search(name)


def redact_text(text: str) -> str:
    """Return the text with what looks like a key, or like a password in a URL, replaced.

    >>> redact_text("postgres://me:hunter2@db/x")
    'postgres://<redacted>@db/x'
    """
    text = _SECRET_VALUE.sub(REDACTED, text)
    return _URL_PASSWORD.sub(rf"\g<scheme>{REDACTED}@", text)


def redact_tree(value: Any, name: str = "") -> Any:
    """Return a copy of a nested value without its secrets.

    Strings and numbers under a name that looks secret are replaced, at any depth; empty values
    and None stay, since they show that nothing was set, and so does a number of tokens.
    Secret-looking text is replaced under any name.
    """
    is_secret = looks_secret(name)
    if isinstance(value, dict):
        return {key: redact_tree(v, name if is_secret else key) for key, v in value.items()}
    if isinstance(value, list):
        return [redact_tree(inner, name) for inner in value]
    if isinstance(value, str):
        return REDACTED if value and is_secret else redact_text(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_count = name.lower().endswith("tokens")
    return REDACTED if is_number and is_secret and not is_count else value


def redact_command(command: Iterable[str]) -> list[str]:
    """Return a command line without its secrets: ``--api-key X`` and ``--api-key=X`` alike."""
    words: list[str] = []
    hide_next = False
    for word in command:
        option, equals, _ = word.partition("=")
        if hide_next and not word.startswith("-"):
            words.append(REDACTED)
            hide_next = False
            continue
        hide_next = False
        if looks_secret(option.lstrip("-")) and (equals or word.startswith("-")):
            words.append(f"{option}={REDACTED}" if equals else word)
            hide_next = not equals
        else:
            words.append(redact_text(word))
    return words
