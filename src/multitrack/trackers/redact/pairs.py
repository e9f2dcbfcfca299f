r"""Secrets in a text by the name before them: ``NAME=value``, ``"name": "value"``, ``--name X``.

A scan for separators finds those before which a name may end that is a secret's; only there are
name and value looked at. What was looked at is passed, so that the time goes with the length of a
text, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from multitrack.trackers.redact.names import Kind, is_plain_value, kind_of
from multitrack.trackers.redact.spans import Span

_ENDINGS = (
    *("key", "keys", "token", "tokens", "secret", "secrets", "word", "words", "passwd", "pwd"),
    *("phrase", "passcode", "mnemonic", "credential", "credentials", "creds", "auth", "zation"),
    *("header", "bearer", "cookie", "cookies", "string", "_str", "pat", "_pw", "jwt", "pass"),
    *("hook", "hooks", "_url", "okurl", "ature", "sig", "_id", "keyid"),
    *("_main", "_live", "_prod", "_test", "_dev", "_old", "_new", "_v1", "_v2"),
)
"""How names of secrets end, as far as they are looked for in texts; a number may follow."""
_JUNK = r"[\"' \t\]\\]"
"""What may stand between a name and its separator, up to three times."""
_NO_NUMBER = r"(?![ \t]?(?:\d{1,3}|\d+\.\d+|null|None|[Tt]rue|[Ff]alse)[,\s})\]])"
_NAME_LENGTH = 80
_LONGEST_WORD = 24
_MOST = 4000
"""Characters of a value in brackets that are looked at."""
_GLANCE = 600
"""Characters of a value without quotes that say whether it is one: the rest is read only then."""


def _any_case(word: str) -> str:
    return "".join(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in word)


def _behind_names(separator: str) -> str:
    """Return a pattern of a separator that may stand behind a secret's name."""
    ends = "|".join(map(_any_case, sorted({ending[-3:] for ending in _ENDINGS})))
    ends = rf"(?:{ends}|.[A-Za-z_\-]\d|[A-Za-z_\-]\d\d)"
    looks = [rf"(?<=[\w\-]{_JUNK * n}{separator})(?<={ends}{'.' * n}{separator})" for n in range(4)]
    return f"{separator}{_NO_NUMBER}(?:{'|'.join(looks)})"


_PLACES = re.compile(
    rf"{_behind_names('=')}|{_behind_names(':')}|-(?=-[A-Za-z])|:(?<=\d{{8}}:)(?=AA[\w\-]{{30}})",
    re.DOTALL,
)
_NAME = re.compile(r"[\"' \t\]\\]{0,3}([\w.\-]+)(?: ([A-Za-z]{2,20})(?!\w))?")
"""A name and the word before it, of a text that is reversed."""
_ANNOTATION = re.compile(
    r"[ \t]*[A-Za-z_][A-Za-z_.]{0,40}(?:8|16|32|64)?(?:\[[\w, .|]{0,40}\])?[ \t|None]{0,8}=(?!=)"
)
"""A type between a name and its value, as in Python; with other digits it is a value."""
_BLANKS = re.compile(r"[ \t]{0,8}")
_QUOTE = re.compile(r"[bBrRuUfF]{0,2}(\"\"\"|'''|\\{0,7}[\"'])")
_ESCAPABLE = {
    '"': re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL),
    "'": re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL),
}
_BARE = re.compile(r"[^\s\"'`<>\\]*(?:\\(?![abfnrtvxu0\"'])[^\s\"'`<>\\]*)*")
_NEXT = re.compile(r"[&;,|](?=\s*[\w.%\-\"'\[\]]+\s*[=:])|[,;](?=\s|$)|%[02][06aA]")
"""What divides a value from the next pair."""
_QUERY_END = re.compile("[&#]")
_CLOSERS = ")]},;:.&"
_SCHEME = re.compile(
    r"(?:bearer|basic|token|digest|apikey|negotiate|aws4[\w\-]*)[ \t]+(?=\S)", re.IGNORECASE
)
_COOKIE = re.compile(r"[^\s=;\"']{1,200}=")
_OPTION = re.compile(r"--?([A-Za-z][\w.\-]{0,80})[ \t]+(?!-)")
_LIST_TOKEN = re.compile(r"[\[\]{}()]|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)
_NUMBERS = re.compile(
    r"[\[({\s\d.,eE+\-})\]]*|[\[(](?:[\s,]|true|false|null|None|True|False)*[\])]"
)
_LOGIN = re.compile(r"\blogin[ \t]+\S{1,200}\s+password[ \t]+(\S+)")
_TELEGRAM = re.compile(r"AA[\w\-]{30,}")


class _Name(NamedTuple):
    """A name before a separator: its kind, whether in quotes, and whether in a URL's query."""

    kind: Kind
    last: str
    is_quoted: bool
    is_query: bool


def find_pairs(text: str) -> Iterator[Span]:
    """Yield the values of a text that stand under a secret's name.

    >>> list(find_pairs("lr=0.1 api_key=abc"))
    [(15, 18)]
    """
    done = 0
    for place in _PLACES.finditer(text):
        at = place.start()
        if at < done:
            continue
        span = _option(text, at) if text[at] == "-" else _pair(text, at)
        if span:
            done = max(done, span[1])
            if span[0] < span[1]:
                yield span
    if "login" in text:
        yield from (found.span(1) for found in _LOGIN.finditer(text))


def _option(text: str, at: int) -> Span | None:
    """Return the value of ``--name value``."""
    option = _OPTION.match(text, at)
    if not option:
        return None
    name = _Name(kind_of(option[1]), option[1].lower(), is_quoted=True, is_query=False)
    return _value(text, option.end(), name) if name.kind else None


def _pair(text: str, at: int) -> Span | None:
    """Return the value behind a separator; an empty span passes what is no secret."""
    if telegram := _TELEGRAM.match(text, at + 1):
        return telegram.span()
    if text[at] == ":" and text.startswith("//", at + 1):
        return None
    name = _name(text, at)
    if not name.kind or text.startswith(("=", ">", "~"), at + 1):
        return None
    start = at + 1
    if text[at] == ":" and (annotation := _ANNOTATION.match(text, start)):
        start = annotation.end()
    blanks = _BLANKS.match(text, start)
    value_at = blanks.end() if blanks else start
    is_prose = value_at > start and (text[at] == ":" or text[at - 1].isspace())
    return _value(text, value_at, name, is_prose=is_prose)


def _name(text: str, at: int) -> _Name:
    found = _NAME.match(text[max(0, at - _NAME_LENGTH) : at][::-1])
    if not found:
        return _Name(Kind.PLAIN, "", is_quoted=False, is_query=False)
    last, before = found[1][::-1], (found[2] or "")[::-1]
    begin = at - found.end(1)
    is_query = begin > 0 and text[begin - 1] in "?&"
    kind = kind_of(last)
    if last.lower() in {"key", "keys", "token", "tokens", "id", "string", "url"} and before:
        kind = kind_of(f"{before} {last}")
    elif is_query and last.lower() in {"sig", "signature", "x-amz-signature", "x-goog-signature"}:
        kind = Kind.SECRET
    return _Name(kind, last.lower(), text[at - 1] in "\"'", is_query)


def _value(text: str, at: int, name: _Name, *, is_prose: bool = False) -> Span | None:
    if quote := _QUOTE.match(text, at):
        return _quoted(text, quote, name)
    if text[at : at + 1] in {"[", "{", "("}:
        return _bracketed(text, at)
    if name.last.endswith("authorization") and (scheme := _SCHEME.match(text, at)):
        return scheme.end(), _end_of_line(text, scheme.end())
    if name.last.endswith(("cookie", "cookies")) and _COOKIE.match(text, at):
        return at, _end_of_line(text, at)
    return _bare(text, at, name, is_prose=is_prose)


def _bare(text: str, at: int, name: _Name, *, is_prose: bool) -> Span | None:
    """Return a value without quotes, unless its beginning says that it is no secret.

    It is read in pieces, each twice the one before: what follows shall not be read at every name.
    """
    size = _GLANCE
    end = _end_of_bare(text, at, at + size, is_query=name.is_query)
    value = text[at:end].rstrip(_CLOSERS)
    is_loose = is_prose and name.kind is Kind.LOOSE and not name.is_quoted
    if is_plain_value(value, name.kind) or (is_loose and not _is_no_word(value)):
        return None
    while end == at + size:
        size *= 2
        end = _end_of_bare(text, at, at + size, is_query=name.is_query)
    return at, at + len(text[at:end].rstrip(_CLOSERS))


def _is_no_word(value: str) -> bool:
    """Tell whether a value is no word of a sentence, and no piece of a program."""
    has_digit = any(letter.isdigit() for letter in value)
    return len(value) > _LONGEST_WORD or (has_digit and not set(value) & set("()[]{}."))


def _quoted(text: str, quote: re.Match[str], name: _Name) -> Span | None:
    start, mark = quote.end(), quote[1]
    if mark in _ESCAPABLE:
        content = _ESCAPABLE[mark].match(text, start)
        end = content.end() if content else start
    else:
        end = text.find(mark, start)
        end = len(text) if end < 0 else end
    if is_plain_value(text[start:end], name.kind):
        return (end, end)
    return start, end


def _bracketed(text: str, at: int) -> Span:
    """Return what stands in brackets, or an empty span behind it if it is only numbers."""
    depth, end = 0, min(len(text), at + _MOST)
    for token in _LIST_TOKEN.finditer(text, at, end):
        depth += (token[0] in "[{(") - (token[0] in ")}]")
        if depth <= 0:
            end = token.end()
            break
    if _NUMBERS.fullmatch(text, at, end):
        return end, end
    return min(at + 1, end), max(at + 1, end - (depth <= 0))


def _end_of_bare(text: str, start: int, limit: int, *, is_query: bool) -> int:
    """Return where a value without quotes ends, or the limit; more pairs may follow it."""
    bare = _BARE.match(text, start, limit)
    end = bare.end() if bare else start
    if following := _NEXT.search(text, start, end + 1):
        end = min(end, following.start())
    if is_query and (stop := _QUERY_END.search(text, start, end)):
        end = stop.start()
    return end


def _end_of_line(text: str, start: int) -> int:
    end = _LINE_END.search(text, start)
    return end.start() if end else len(text)


_LINE_END = re.compile(r"[\r\n\"'`]|\\[nr\"']")
