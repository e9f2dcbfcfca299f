"""What the keys of known services look like."""

from __future__ import annotations

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Iterator

from multitrack.trackers.redact.spans import Span

_FORMAT = re.compile(
    r"""(?:
      hf_[A-Za-z0-9]{20,}                                    # Hugging Face
    | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,}        # GitHub
    | gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt)-[\w.\-]{16,} # GitLab
    | xox[a-z](?:\.[a-z]{4})?-[\w\-]{10,} | xapp-[\w\-]{16,} # Slack
    | sk-[\w\-]{16,}                                         # OpenAI, Anthropic and others
    | [srp]k_(?:live|test)_[A-Za-z0-9]{10,} | whsec_[A-Za-z0-9+/=]{16,}  # Stripe
    | npm_[A-Za-z0-9]{30,} | pypi-[\w\-]{32,}
    | dckr_[a-z]{3}_[\w\-]{16,} | dop_v1_[a-f0-9]{32,}       # Docker, DigitalOcean
    | wandb_v\d_\w{20,} | local-[a-f0-9]{40}                 # Weights & Biases
    | eyJhcGlf[\w+/\-]{20,}={0,2}                            # Neptune
    | gsk_[A-Za-z0-9]{20,} | r8_[A-Za-z0-9]{30,} | xai-[A-Za-z0-9]{30,} | nvapi-[\w\-]{20,}
    | rpa_[A-Z0-9]{30,} | pcsk_\w{30,} | tgp_v1_[\w\-]{20,} | key-[a-f0-9]{32}
    | lsv2_[a-z]{2}_\w{20,} | [ps]k-lf-[\w\-]{20,}           # LangSmith, Langfuse
    | glsa_\w{30,} | sntrys_[\w+/=]{30,} | shp[a-z]{2}_[a-fA-F0-9]{32}
    | AT(?:ATT|CTT|BB)[\w\-=]{20,} | dapi[a-f0-9]{32}        # Atlassian, Databricks
    | GOCSPX-[\w\-]{20,} | AIza[\w\-]{30,} | ya29\.[\w\-]{20,}  # Google
    | A(?:KIA|SIA|BIA|CCA)[0-9A-Z]{16}(?![0-9A-Za-z])        # AWS
    | SG\.[\w\-]{16,}\.[\w\-]{16,} | hv[sb]\.[\w\-]{20,}     # SendGrid, Vault
    | AGE-SECRET-KEY-1[A-Z0-9]{50,}
    | eyJ[\w\-]{10,}\.[\w\-]{10,}\.[\w\-]{5,}                # a JSON Web Token
    )""",
    re.VERBOSE | re.ASCII,
)

_MARKS = (
    *("hf_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_", "npm_", "dckr_", "dop_"),
    *("sk_", "rk_", "pk_", "whsec_", "gsk_", "wandb_", "r8_", "rpa_", "pcsk_", "tgp_", "lsv2_"),
    *("glsa_", "sntrys_", "shpat_", "shpca_", "shppa_", "shpss_"),
    *("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-", "glimt-"),
    *(f"xox{letter}{end}" for letter in "abceoprs" for end in "-."),
    *("xapp-", "sk-", "pk-", "pypi-", "local-", "xai-", "nvapi-", "GOCSPX-", "key-", "AGE-"),
    *("ya29.", "SG.", "hvs.", "hvb.", "eyJ"),
)
"""How formats begin, up to a character that is seldom in plain texts."""
_LIKE_WORDS = ("sk-", "pk-", "key-", "local-", "xai-")
"""Those with which words end, too: no letter or digit may be before them."""
_SCHEMES = ("earer ", "EARER ", "asic ", "ASIC ")

_SCHEME = re.compile(
    r"(?:bearer +([\w.~+/\-]{16,}=*)|basic +([A-Za-z0-9+/]{8,}={0,2}))", re.IGNORECASE
)
_DIGIT = re.compile(r"\d")
LONG = 30
"""Characters from which on a word is a key in less certain places, too."""
_RUN = re.compile(r"[\w\-]*", re.ASCII)
_ALNUM = re.compile(r"\d|[A-Za-z]{16}")
_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2}|\\[abfnrtv]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4})$")


def _after_marks() -> re.Pattern[str]:
    """Return what finds the last characters of the marks: the scan for these is fast."""
    by_shape = defaultdict(list)
    for mark in _MARKS:
        by_shape[mark[-1], len(mark)].append(re.escape(mark))
    by_end = defaultdict(list)
    for (end, _), marks in by_shape.items():
        by_end[end].append(f"(?<={'|'.join(marks)})")
    ends = [f"{re.escape(end)}(?:{'|'.join(looks)})" for end, looks in by_end.items()]
    return re.compile("|".join([*ends, "A(?=KIA|SIA|BIA|CCA|Iza|TATT|TCTT|TBB)"]))


_AFTER_MARK = _after_marks()
_MARK_BEFORE = re.compile(f"(?:{'|'.join(map(re.escape, sorted(_MARKS, key=len)))})$")
_LONGEST = max(map(len, _MARKS))


def find_formats(text: str) -> Iterator[Span]:
    """Yield the parts of a text that have the format of a key.

    >>> list(find_formats("my key is hf_" + "a1" * 10))
    [(10, 33)]
    """
    passed: dict[str, int] = {}
    for start, mark in _marks(text):
        if start >= passed.get(mark, 0):
            key = _FORMAT.match(text, start)
            if key and _is_key(key, mark):
                yield key.span()
            if key or mark == "eyJ":  # what begins in the same run of characters is no other
                passed[mark] = _end_of_run(text, start)
    for word in _SCHEMES:
        if word in text:
            yield from _credentials(text, word)


def _marks(text: str) -> Iterator[tuple[int, str]]:
    """Yield where a key may begin, and how."""
    for found in _AFTER_MARK.finditer(text):
        end = found.end()
        if found[0] == "A":
            yield found.start(), "A"
        elif mark := _MARK_BEFORE.search(text[max(0, end - _LONGEST) : end]):
            yield end - len(mark[0]), mark[0]
    at = text.find("dapi")
    while at >= 0:
        yield at, "dapi"
        at = text.find("dapi", at + 1)


def _is_key(found: re.Match[str], mark: str) -> bool:
    """Tell whether what looks like a key is one, and no words with dashes, or a word's end."""
    text, start = found.string, found.start()
    if mark == "sk-" and not _ALNUM.search(found[0], len(mark)):
        return False
    if not start or not text[start - 1].isalnum():
        return True
    if mark not in _LIKE_WORDS and len(found[0]) >= LONG and _DIGIT.search(found[0]):
        return True
    return _ESCAPED.search(text[max(0, start - 6) : start]) is not None


def _end_of_run(text: str, start: int) -> int:
    run = _RUN.match(text, start)
    return run.end() if run else start


def _credentials(text: str, word: str) -> Iterator[Span]:
    """Yield what follows the name of an HTTP scheme, if it can be what the scheme wants."""
    at = text.find(word)
    while at >= 0:
        found = _SCHEME.match(text, max(0, at - 1))
        if found and found[1] and (_DIGIT.search(found[1]) or len(found[1]) >= LONG):
            yield found.span(1)
        elif found and found[2] and _is_pair(found[2]):
            yield found.span(2)
        at = text.find(word, found.end() if found else at + 1)


def _is_pair(encoded: str) -> bool:
    """Tell whether base64 holds a user and a password."""
    try:
        return b":" in base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return False
