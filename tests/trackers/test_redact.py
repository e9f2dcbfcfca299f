"""What is a secret, and what only looks like one."""

import pytest

from multitrack.trackers.redact import (
    REDACTED,
    looks_secret,
    redact_command,
    redact_text,
    redact_tree,
)

HF = "hf_" + "a1B2" * 8


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "hub_token",
        "hubToken",
        "push_to_hub_token",
        "WANDB_API_KEY",
        "api-key",
        "apiKey",
        "openai.api_key",
        "aws_secret_access_key",
        "AWS_ACCESS_KEY_ID",
        "client_secret",
        "db/password",
        "passphrase",
        "Authorization",
        "auth_token",
        "cookie",
        "webhook_url",
        "AZURE_STORAGE_CONNECTION_STRING",
        "credentials",
    ],
)
def test_secret(name):
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "pad_token",
        "padToken",
        "eos_token",
        "eos_token_id",
        "additional_special_tokens",
        "max_new_tokens",
        "max_tokens",
        "num_input_tokens_seen",
        "tokens_per_second",
        "include_num_input_tokens_seen",
        "tokenizer",
        "tokenizer_name",
        "token_type_ids",
        "author",
        "authors",
        "keys",
        "key_length",
        "primary_key",
        "patience",
        "path",
        "secretary",
        "forced_bos_token",
        "image_token",
        "total_train_tokens",
    ],
)
def test_no_secret(name):
    assert not looks_secret(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://me:hunter2@db/x", f"postgres://{REDACTED}@db/x"),
        ("https://:p%40ss@host:80/", f"https://{REDACTED}@host:80/"),
        ("see https://host:80/a@b and me@example.org", None),
        (f"export HF_TOKEN={HF}; run", f"export HF_TOKEN={REDACTED}; run"),
        ("sk-proj-" + "x" * 20, REDACTED),
        ("ghp_" + "x" * 36, REDACTED),
        ("AKIA" + "A" * 16, REDACTED),
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {REDACTED}"),
        ("task-force, skip-layers, a risk-free ask-me-anything-about-it", None),
        ("the bearer of good news", None),
    ],
)
def test_text(text, expected):
    assert redact_text(text) == (text if expected is None else expected)


def test_tree():
    tree = {
        "hub_token": HF,
        "password": 1234,
        "api_key": None,
        "token": "",
        "use_auth_token": True,
        "nested": {"tokens": ["a", "b"], "url": "s3://me:pw@bucket", "lr": 0.1},
        "credentials": {"user": "me", "key": "k"},
        "anything": ["x", f"my key is {HF}"],
        "train/tokens": 5_000_000,
        "prompt_tokens": 17,
        "pad_token": "<pad>",
    }
    assert redact_tree(tree) == {
        "hub_token": REDACTED,
        "password": REDACTED,
        "api_key": None,
        "token": "",
        "use_auth_token": True,
        "nested": {"tokens": [REDACTED] * 2, "url": f"s3://{REDACTED}@bucket", "lr": 0.1},
        "credentials": {"user": REDACTED, "key": REDACTED},
        "anything": ["x", f"my key is {REDACTED}"],
        "train/tokens": 5_000_000,
        "prompt_tokens": 17,
        "pad_token": "<pad>",
    }
    assert tree["hub_token"] == HF, "the user's own config was changed"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("train.py --api-key abc --lr 0.1", f"train.py --api-key {REDACTED} --lr 0.1"),
        ("train.py --hub_token=abc", f"train.py --hub_token={REDACTED}"),
        ("train.py wandb.api_key=abc lr=1", f"train.py wandb.api_key={REDACTED} lr=1"),
        ("train.py +auth.token=abc", f"train.py +auth.token={REDACTED}"),
        ("train.py --token --lr 1", None),
        ("train.py token", None),
        ("train.py --pad_token x --max_new_tokens 5", None),
        ("train.py --db postgres://me:pw@h/x", f"train.py --db postgres://{REDACTED}@h/x"),
        (f"train.py {HF}", f"train.py {REDACTED}"),
        ("train.py --password", None),
    ],
)
def test_command(command, expected):
    assert redact_command(command.split()) == (expected or command).split()


@pytest.mark.parametrize("text", ["z" * 500_000, "eyJ-" * 20_000, "-----BEGIN " * 20_000])
def test_no_text_takes_long(alarm, text):
    with alarm(20):
        assert redact_text(text) == text


@pytest.mark.parametrize("name", ["api_key", "hf_" + "a1B2" * 8, "password"])
def test_one_secret_among_many_plain_names(name):
    many = {f"layer_{number}": number / 2 for number in range(100)}
    assert redact_tree(many) == many
    value = "hunter2-hunter2" if name != "password" else 123456
    shown = redact_tree(many | {name: value})
    assert {key: shown[key] for key in many} == many
    assert str(value) not in str(shown) or name.startswith("hf_")
    assert "hf_" not in str(shown)
    assert redact_tree(many | {"note": "hf_" + "a1B2" * 8})["note"] == REDACTED
    assert redact_tree({"token": many | {"n": "hunter2-hunter2"}})["token"]["n"] == REDACTED
