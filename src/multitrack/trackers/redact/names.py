"""Which names announce a secret, and which values under such a name are none."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from multitrack.trackers.redact.spans import REDACTED


class Kind(IntEnum):
    """What a name says of its value, the stronger the higher."""

    PLAIN = 0
    """It is no secret."""
    UNSURE = 1
    """It is one if it looks random."""
    LOOSE = 2
    """It is one, but the name is also a word of everyday texts."""
    SECRET = 3
    PASSWORD = 4
    """It is one, even if it is a number."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PASSWORDS = _set("password passwd passphrase passcode pwd passwords passphrases mnemonic")
_SECRETS = _set("secret secrets credential credentials creds jwt jwts bearer authorization apikey")
_LOOSE = _set("auth cookie cookies pat pats webhook webhooks token secret bearer credentials")
_PASSES = _set(
    "admin basic db database email ftp http imap key keystore ldap login mail mongo mongodb mysql "
    "pg postgres proxy rabbitmq redis root server smtp sql ssh sudo truststore user"
)
"""Whose ``pass`` is a password: a ``forward_pass`` is none."""

_JOINED = (
    *("apikey", "apikeys", "accesskey", "secretkey", "privatekey", "accountkey", "authkey"),
    *("sshkey", "authtoken", "accesstoken", "apitoken", "hubtoken", "password", "passwd"),
    *("clientsecret", "passphrase"),
)
"""How names end that join their words."""

_PHRASES = (
    ("connection", "string"),
    ("conn", "string"),
    ("conn", "str"),
    ("webhook", "url"),
    ("auth", "header"),
    ("access", "key", "id"),
    ("secret", "id"),
    ("access", "signature"),
    ("recovery", "phrase"),
    ("seed", "phrase"),
)

_SERVICES = _set(
    "aim airtable anthropic anyscale aws azure azureml bedrock bitbucket bot ci claude clearml "
    "cloudflare cohere comet dagshub databricks datadog deepseek discord docker dropbox dvc "
    "elastic fal firebase fireworks gcp gemini gh git gitea github gitlab google grafana groq "
    "hf hub hubs huggingface jenkins jira k8s kaggle kube langchain langfuse langsmith "
    "lightning linear mailgun mistral mlflow modal mongo neptune ngc ngrok notion npm nvidia "
    "okta openai openrouter paperspace perplexity pinecone postgres posthog pypi qdrant redis "
    "registry replicate roboflow runpod s3 salesforce sentry serper shopify slack snowflake "
    "stripe supabase swanlab tavily telegram together trackio twilio twitter vault vercel "
    "voyage wandb weaviate xai zilliz"
)
_KEY_OWNERS = _SERVICES | _set(
    "access account admin api auth client consumer decryption deploy encryption gpg hmac host "
    "license master pgp private rsa secret service session shared signing ssh ssl storage "
    "subscription tls write"
)
_PLAIN_KEYS = _set(
    "answer attention attn batch bucket cache class column compound config data dataset dict fg "
    "filter flax foreign group hash image index input item join key label lookup loss main map "
    "mask message meta metric monitor name object order output parent partition path primary "
    "prng prompt public query random reward rng row search shard sort source state str sub "
    "system target text unique value"
)
_TOKEN_OWNERS = _SERVICES | _set(
    "access account admin api app auth bearer ci client console consul csrf deploy deployment "
    "dev device hub id identity jwt login management master my new notebook oauth oauth2 "
    "personal private project publish pull push read refresh registration registry repo runner "
    "sas secret security server service session sso upload user web webhook workspace write "
    "xsrf"
)
_TEXT_TOKENS = _set(
    "action added additional all answer asr assistant attention audio batch begin bin bit boa "
    "boi boq bos bov byte cached chat chosen class classification cls code column completion "
    "context control corrupted count cross current decode decoded decoder document draft dummy "
    "empty encoded encoder end entity eoa eoi eom eos eot eov eval expert extra eye fill fim "
    "final first forced frame free function future gen generated generation grid group hidden "
    "history ignore ignored im image img indicator infill input instruction kv label lang "
    "language last latent learnable len length line location logit mask masked max mean media "
    "memory merged message min mm modality move n next no non nonspeaker nospeech null num "
    "number object observation other output pad padded padding page patch per pixel placeholder "
    "plan policy pos position post pre predicted prefill prefix prev previous prompt proposal "
    "protein query question reason reasoned reasoning register rejected replace response reward "
    "role rollout row scene seen segment sentinel sep separator seq sequence skip skipped smile "
    "soft sos sot spatial speaker special speculative speech split start stop sub subword "
    "suffix summary suppress system tab table tag target task text think thinking thought tile "
    "time timestamp tool tools top total tps train trainable trained training transition turn "
    "type unk unknown unused valid validation vid video view vision visual vocab vocabulary "
    "warmup whisper window word"
)
"""What the tokens of a language model are called by."""

_MODIFIERS = _set("b64 backup base64 current dev main new old prod production staging test v1 v2")
"""What may stand behind a secret's name."""

_HINTS = (
    *("pass", "pw", "secret", "cred", "jwt", "bearer", "auth", "key", "token", "pat", "cookie"),
    *("webhook", "conn", "access", "recovery", "seed", "mnemonic"),
)
"""What a name holds that says anything: most hold none of it, and are soon done with."""
_LONGEST = 500
"""Characters of what is taken for a name."""
_LONG_PIN = 4
"""Digits from which on a number may be a password."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[A-Za-z]+[0-9]*[A-Za-z]*|[0-9]+")
_ORDINAL = re.compile(r"([a-z]+?)\d{1,3}")


def looks_secret(name: str) -> bool:
    """Tell whether a name announces a secret.

    >>> looks_secret("hub_token"), looks_secret("WANDB_API_KEY"), looks_secret("pad_token")
    (True, True, False)
    """
    return kind_of(name) >= Kind.LOOSE


def kind_of(name: str) -> Kind:
    """Return what a name says of its value."""
    if len(name) > _LONGEST:  # a text
        return Kind.PLAIN
    return _kind_of(name) if hints_at_secret(name) else Kind.PLAIN


def hints_at_secret(names: str) -> bool:
    """Tell whether a name, or one of several in a text, may be that of a secret."""
    small = names.lower()
    for hint in _HINTS:  # noqa: SIM110 - it takes a third of what a generator does
        if hint in small:
            return True
    return False


@functools.lru_cache(maxsize=8192)
def _kind_of(name: str) -> Kind:
    words = [word.lower() for word in _WORD.findall(_HUMP.sub("_", name).replace("_", " "))]
    if phrase := _kind_of_phrase(words):
        return phrase
    while len(words) > 1 and (words[-1] in _MODIFIERS or words[-1].isdigit()):
        words.pop()
    if not words:
        return Kind.PLAIN
    last, before = words[-1], words[:-1]
    if numbered := _ORDINAL.fullmatch(last):
        last = numbered[1]
    return _kind_of_phrase([*before, last]) or _kind_of_word(last, before)


def _kind_of_phrase(words: list[str]) -> Kind:
    is_phrase = any(tuple(words[-len(phrase) :]) == phrase for phrase in _PHRASES)
    return Kind.SECRET if is_phrase else Kind.PLAIN


def _kind_of_word(last: str, before: list[str]) -> Kind:
    if special := _SPECIAL.get(last):
        return special(last, before)
    if last in _PASSWORDS or last.endswith(("password", "passwd", "pwd")):
        return Kind.PASSWORD
    if last in _LOOSE and not before:
        return Kind.LOOSE
    is_secret = last in _SECRETS or last in _LOOSE or last.endswith(_JOINED)
    return Kind.SECRET if is_secret else Kind.PLAIN


def _kind_of_pwd(_: str, before: list[str]) -> Kind:
    """A shell calls its working directory so."""
    return Kind.PASSWORD if before else Kind.LOOSE


def _kind_of_pass(_: str, before: list[str]) -> Kind:
    return Kind.PASSWORD if before and before[-1] in _PASSES else Kind.UNSURE


def _kind_of_pat(_: str, before: list[str]) -> Kind:
    """A personal access token, or a pattern."""
    if not before:
        return Kind.LOOSE
    return Kind.SECRET if before[-1] in _TOKEN_OWNERS else Kind.UNSURE


def _kind_of_token(last: str, before: list[str]) -> Kind:
    is_plural = last == "tokens"
    if not before:
        return Kind.LOOSE
    if is_plural and any(word in _TEXT_TOKENS for word in before):
        return Kind.PLAIN
    if before[-1] in _TOKEN_OWNERS and not (is_plural and before[-1] in {"new", "user"}):
        return Kind.SECRET
    if any(word in _TEXT_TOKENS for word in before):
        return Kind.PLAIN
    return Kind.UNSURE if is_plural else Kind.LOOSE


def _kind_of_key(_: str, before: list[str]) -> Kind:
    if not before or before[-1] in _PLAIN_KEYS:
        return Kind.PLAIN
    return Kind.SECRET if before[-1] in _KEY_OWNERS else Kind.UNSURE


_SPECIAL: Mapping[str, Callable[[str, list[str]], Kind]] = {
    **dict.fromkeys(("pwd", "oldpwd"), _kind_of_pwd),
    **dict.fromkeys(("pass", "pw"), _kind_of_pass),
    **dict.fromkeys(("pat", "pats"), _kind_of_pat),
    **dict.fromkeys(("token", "tokens"), _kind_of_token),
    **dict.fromkeys(("key", "keys"), _kind_of_key),
}


_NOTHING = _set(
    "none null nil nan false true no yes on off auto default disabled enabled required optional "
    "unset undefined n/a na ~ basic bearer digest oauth oauth2 kerberos anonymous env"
) | {""}
"""Words that say that there is no secret, or what kind there is."""

_NUMBER = re.compile(r"[+-]?(?:\d{1,11}|\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?")
_LONG_NUMBER = re.compile(rf"\d{{{_LONG_PIN},}}")
_PLACEHOLDER = re.compile(
    r"<[^<>\s]{1,60}>|\[[A-Z_0-9]{1,30}\]|\W{1,4}|[\u0120\u2581].{0,30}"  # a model's tokens
    r"|\$\w+|\$\{(?:oc\.env:|env:)?[\w.]+\}|\*{3,}"  # a reference to what stands elsewhere
)
_LINK = re.compile(r"https?://[^\s?#@]+(?:[?#][\w=&.%\-]{0,60})?")
_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[\w.@\-]{1,100})+/?")


def is_plain_value(value: Any, kind: Kind) -> bool:
    """Tell whether a value is no secret, though the name that it stands under is one's.

    Empty values and words such as ``none`` show that nothing was set; numbers are counts; and
    what a language model calls a token looks like ``<this>``.

    >>> is_plain_value("none", Kind.SECRET), is_plain_value("hunter2", Kind.SECRET)
    (True, False)
    """
    if value is None or isinstance(value, bool | float):
        return True
    if isinstance(value, int):
        return kind is not Kind.PASSWORD or not _LONG_NUMBER.fullmatch(str(value))
    return not isinstance(value, str) or _is_plain_text(value, kind)


def _is_plain_text(text: str, kind: Kind) -> bool:
    if text.startswith(REDACTED) or text.strip().lower() in _NOTHING:
        return True
    if kind is Kind.PASSWORD:
        return len(text) < _LONG_PIN and text.isdecimal()
    if _NUMBER.fullmatch(text) or _PLACEHOLDER.fullmatch(text):
        return True
    if kind is Kind.LOOSE:
        return bool(_PATH.fullmatch(text) or _LINK.fullmatch(text))
    return kind is Kind.UNSURE and not looks_random(text)


_RANDOM = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w+/=.~\-]{16,}")


def looks_random(text: str) -> bool:
    """Tell whether a text looks like one that nobody thought of: long, of letters and digits.

    >>> looks_random("wJalrXUtnFEMI7MDENG"), looks_random("validation_accuracy")
    (True, False)
    """
    text = text[:400]
    return _RANDOM.fullmatch(text) is not None and not _PATH.fullmatch(text)
