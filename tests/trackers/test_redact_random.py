"""A secret planted anywhere never survives, what is none stays, and neither takes long."""

import json
import os
import string
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from multitrack.trackers.records import Metrics
from multitrack.trackers.redact import (
    REDACTED,
    Lines,
    Redactor,
    redact_command,
    redact_text,
    redact_tree,
)

LETTERS = string.ascii_letters + string.digits
WORDS = st.sampled_from(
    [
        *("the", "model", "train", "loss", "lr", "adamw", "epoch", "0.1", "512", "best.pt", "5"),
        *("eval/accuracy", "layer.0.weight", "<pad>", "max_tokens=5", "pad_token", "<think>"),
        *("step=10", "[1,2,3]", "https://example.org/a?page=2", "cache_key", "--epochs", "17"),
        *("--max_new_tokens", "None", "true", "a@b.org", "C:\\temp", "#", "--", "=", ":", "|"),
        *("\u00e9t\u00e9", "\u6a21\u578b", "key", "tokens:", "auth", "sk-learn", "token"),
    ]
)
SECRETS = st.builds(
    "{}k{}7{}".format,
    st.text(LETTERS, min_size=2, max_size=6),
    st.text(LETTERS + "/+=_-.@:!%~", min_size=4, max_size=30),
    st.text(LETTERS, min_size=2, max_size=6),
)
NAMES = st.sampled_from(
    [
        *("api_key", "hub_token", "train_hub_token", "WANDB_API_KEY", "OPENAI_KEY", "password"),
        *("PGPASSWORD", "db_pass", "jwt", "client_secret", "aws_secret_access_key", "ssh_key"),
        *("api_key_1", "auth_token", "X-Api-Key", "AccountKey"),
    ]
)
IN_TEXT = st.sampled_from(
    [
        "{name}={secret}",
        "{name}: {secret}",
        "{name} = {secret}",
        "--{name} {secret}",
        "--{name}={secret}",
        '"{name}": "{secret}"',
        "'{name}': '{secret}'",
        '{{"{name}":"{secret}","lr":0.1}}',
        '{{\\"{name}\\": \\"{secret}\\"}}',
        "+{name}={secret}",
        "export {name}='{secret}'",
        "{name}: [{secret}]",
    ]
)


def planted(template, name, secret):
    return template.format(name=name, secret=secret)


@st.composite
def texts(draw):
    before, after = draw(st.lists(WORDS, max_size=8)), draw(st.lists(WORDS, max_size=8))
    return " ".join([*before, "{}", *after])


@given(texts(), IN_TEXT, NAMES, SECRETS)
def test_a_secret_in_a_text_never_survives(text, template, name, secret):
    shown = redact_text(text.replace("{}", planted(template, name, secret), 1))
    assert secret[:-3] not in shown


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), WORDS)
KEYS = st.sampled_from(["lr", "optim", "model", "layers", "pad_token", "max_tokens", "key", "x/y"])
TREES = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def places(tree):
    """Return all places of a tree: a list of steps each."""
    inner = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    return [[], *([step, *rest] for step, value in inner for rest in places(value))]


def put(tree, place, value):
    if not place:
        return value
    step, *rest = place
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[step] = put(copy[step], rest, value)
    return copy


@given(st.data(), TREES, NAMES, SECRETS)
def test_a_secret_in_a_tree_never_survives(data, tree, name, secret):
    where = data.draw(st.sampled_from(places(tree)))
    what = data.draw(st.sampled_from([secret, [secret], {"a": [secret]}, {"a": {"b": secret}}]))
    shown = redact_tree(put(tree, where, {name: what}))
    assert secret not in json.dumps(shown)


@given(st.data(), TREES)
def test_a_known_key_or_an_own_secret_in_a_tree_never_survives(data, tree):
    own = "own-canary-77-of-the-environment"
    os.environ["SOME_SERVICE_PASSWORD"] = own
    try:
        secret = data.draw(st.sampled_from([own, "hf_" + "a1B2" * 8, "ghp_" + "a1B2" * 9]))
        where = data.draw(st.sampled_from(places(tree)))
        what = data.draw(st.sampled_from([f"a {secret}", f"x{secret}", {secret: 1}, [[secret, 2]]]))
        assert secret not in json.dumps(redact_tree(put(tree, where, what)))
    finally:
        del os.environ["SOME_SERVICE_PASSWORD"]


@given(st.lists(WORDS, max_size=5), st.lists(WORDS, max_size=5), NAMES, SECRETS, st.booleans())
def test_a_secret_on_a_command_line_never_survives(before, after, name, secret, is_one):
    words = [f"--{name}={secret}"] if is_one else [f"--{name}", secret]
    assert secret not in " ".join(redact_command([*before, *words, *after]))


@given(TREES)
def test_a_plain_tree_stays(tree):
    assert redact_tree(tree) == tree


@given(st.lists(WORDS))
def test_a_plain_text_stays(words):
    assume("auth tokens:" not in " ".join(words))  # which announces a secret
    assert redact_text(" ".join(words)) == " ".join(words)


def test_own_secrets_follow_the_environment(monkeypatch):
    text = "it was correct-horse-battery all along"
    assert redact_text(text) == text
    monkeypatch.setenv("STAPLE_PASSWORD", "correct-horse-battery")
    assert redact_text(text) == f"it was {REDACTED} all along"
    assert redact_text("correct-horse-battery".upper()) == "CORRECT-HORSE-BATTERY"
    monkeypatch.setenv("STAPLE_PASSWORD", "another")
    assert redact_text(text) == text, "a short word may stand anywhere"


@pytest.mark.parametrize("value", ["training", "12345678", "/tmp", "true", "$OTHER", "<the-key>"])
def test_words_numbers_and_places_are_no_own_secrets(monkeypatch, value):
    monkeypatch.setenv("MY_API_KEY", value)
    assert redact_text(f"a {value} b") == f"a {value} b"


def test_a_private_key_that_comes_line_by_line():
    lines = Lines()
    key = ["-----BEGIN PRIVATE KEY-----", "MIIcanary", "abcd==", "-----END PRIVATE KEY-----"]
    assert {lines.redact(line) for line in key} == {REDACTED}
    assert lines.redact("step 1: loss 0.5") == "step 1: loss 0.5"
    assert lines.redact(key[0]) == REDACTED
    assert lines.redact("no key, after all: loss 0.5") == "no key, after all: loss 0.5"


def test_names_of_metrics_are_looked_at_once():
    redactor = Redactor()
    record = Metrics(time=0.0, step=1, values={"loss": 0.5, "lr": 0.1})
    assert redactor.redact(record) is record
    key = "hf_" + "a1B2" * 8
    twice = Metrics(time=0.0, step=1, values={f"a/{key}": 1, f"a/{key}x": 2})
    assert sorted(redactor.redact(twice).values.items()) == [
        (f"a/{REDACTED}", 1),
        (f"a/{REDACTED}_", 2),
    ]


MEGABYTE = 2**20
ADVERSARIES = [
    *("x", "sk-", "eyJ", "eyJ-", "eyJa.", "SG.", "AKIA", "hf_", "_", "-", "=", ":", "://", "@"),
    *("a://b:", "a://h:80/", "password=", "token: ", "token='", 'tokens:["', "tokens:[1,", "--a "),
    *("--token ", "cookie: a ", "cookie: a=", "bearer ", "Basic a", "login a password ", "\\", '"'),
    *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "token=\\"),
    *("api_key: a[", "authorization: basic ", "a_key", "?sig=&", "?sig=", "<redacted>", "ghp_aB1"),
    *("token=", "&token=", "--token", "key=1,", "--a-", "login ", "Cookie=a;"),
]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(ADVERSARIES), min_size=1, max_size=3))
def test_the_time_goes_with_the_length(parts):
    def seconds(size):
        text = "".join(parts) * (size // len("".join(parts)))
        began = time.process_time()
        redact_text(text)
        return time.process_time() - began

    assert seconds(MEGABYTE // 4) < 40 * max(seconds(MEGABYTE // 32), 0.01)
