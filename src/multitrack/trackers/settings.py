"""Settings of an adapter: environment variables as data, parsed strictly.

A settings class is a frozen msgspec struct. Each field names its variable, with `Env`:

    class ExampleSettings(Settings, frozen=True):
        project: Annotated[str | None, Env("EXAMPLE_PROJECT", help="Project of the run.")] = None

Nothing is read at import time: `load` reads the environment when the run starts.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from multitrack.trackers.access import Access
from multitrack.trackers.redact import looks_secret, redact_text

TRUE_WORDS = ("1", "true", "yes", "on")
FALSE_WORDS = ("0", "false", "no", "off")

LogModel: TypeAlias = Literal["none", "last", "best", "all"]
"""Which of a training's checkpoints become artifacts."""
Watched: TypeAlias = Literal["none", "gradients", "parameters", "all"]
"""What of the model that a loop trains is watched."""


class SettingsError(ValueError):
    """A variable or argument holds what it must not; the message says what is allowed."""


class Env(msgspec.Struct, frozen=True):
    """The environment variable of a settings field.

    Args:
        name: the variable.
        help: what it means, as a sentence for the documentation.
        client: whether the backend's own client reads it too.
        secret: whether the value must never be shown or stored.
        fallbacks: variables that are read when the first is not set.
        words: words of the variable's own, such as those that another library gave it, and the
            values that they stand for.
        place: ``"address"``, ``"files"`` or ``"folder"`` for what says where a run goes: a run's
            folder that somebody else wrote decides none of these.
    """

    name: str
    help: str = msgspec.field(default="")
    client: bool = False
    secret: bool = False
    fallbacks: tuple[str, ...] = ()
    words: Mapping[str, str] = {}
    place: Literal["", "address", "files", "folder"] = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All its variables, the strongest first."""
        return (self.name, *self.fallbacks)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the adapters' settings, with those that every backend has.

    An adapter whose backend has a variable of its own for one of them declares the field again,
    with that variable.

    Attributes:
        log_model: which checkpoints `TrackingCallback` gives to this backend, if it was not told
            for all backends.
        watch: what `TrackingCallback` watches of the model, for all backends of the run.
        disabled: whether ``report_to`` leaves this backend out.
        given: the fields that were given in code, which win over what the run says of itself.
    """

    log_model: LogModel = "none"
    watch: Watched = "none"
    disabled: bool = False
    given: frozenset[str] = frozenset()

    def prefer(self, field: str, own: Any) -> Any:
        """Return what counts of a field and what the run says of itself, such as its project.

        One order for all adapters: an argument, the run's own, a variable, the default.

        Args:
            field: the field's name.
            own: what the run says; None or empty if nothing.
        """
        return getattr(self, field) if field in self.given or not own else own

    def access(self) -> Access:
        """Return where these settings lead, for ``multitrack doctor`` to look at.

        An adapter says here, and nowhere else, what must answer, what must be writable and where
        a key may be. It must neither import its client nor reach for the network.
        """
        return Access()

    def source_of(self, *fields: str) -> str | None:
        """Return the variables of fields, if all of these are set; None if one is not."""
        if not all(getattr(self, field) for field in fields):
            return None
        names = {variable.field: variable.env.name for variable in variables(type(self))}
        return " and ".join(names[field] for field in fields)


class Variable(msgspec.Struct, frozen=True):
    """One field of a settings class, as documentation and errors need it."""

    field: str
    env: Env
    type: Any
    default: Any

    @property
    def allowed(self) -> str:
        """What the variable may hold, in words."""
        return ", ".join([_allowed(self.type), *self.env.words])

    @property
    def is_secret(self) -> bool:
        """Whether its value must never be shown or stored."""
        return self.env.secret or looks_secret(self.env.name)


SettingsT = TypeVar("SettingsT", bound=Settings)


OFF: Mapping[str, str] = dict.fromkeys(FALSE_WORDS, "none")
"""The words for false of a variable that says which or what."""


def switch(on: LogModel) -> Mapping[str, str]:
    """Return the words of a variable that only turns checkpoints on and off.

    Args:
        on: what the words for true stand for.

    >>> switch("all")["yes"], switch("all")["false"]
    ('all', 'none')
    """
    return {**dict.fromkeys(TRUE_WORDS, on), **OFF}


def variables(settings_type: type[Settings]) -> Iterator[Variable]:
    """Yield the fields of a settings class that have an environment variable."""
    hints = get_type_hints(settings_type, include_extras=True)
    for field in msgspec.structs.fields(settings_type):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        inner, *extras = get_args(hint)
        for extra in extras:
            if isinstance(extra, Env):
                default = field.default
                if field.default_factory is not msgspec.NODEFAULT:
                    default = field.default_factory()
                yield Variable(field.name, extra, inner, default)


def load(
    settings_type: type[SettingsT],
    *,
    environ: Mapping[str, str] | None = None,
    arguments: Mapping[str, Any] | None = None,
    saved: Mapping[str, Any] | None = None,
) -> SettingsT:
    """Build settings: an argument wins over the environment, and that over what was saved.

    Args:
        settings_type: the adapter's settings class.
        environ: the environment; the process's own if None.
        arguments: values given in code, by field name.
        saved: values of an earlier process of the same run, by field name; one that another
            version of the adapter saved and this one does not know is left out.

    Raises:
        SettingsError: a variable or argument does not hold what its field allows, or an
            argument is unknown.
    """
    environ = os.environ if environ is None else environ
    known = {field.name for field in msgspec.structs.fields(settings_type)} - {"given"}
    values = {name: value for name, value in (saved or {}).items() if name in known}
    for variable in variables(settings_type):
        for name in variable.env.names:
            if environ.get(name):
                values[variable.field] = parse(variable, environ[name], source=name)
                break
    values.update(arguments or {})
    if unknown := sorted(values.keys() - known):
        raise SettingsError(
            f"{settings_type.__name__} has no setting {', '.join(map(repr, unknown))}; "
            f"it has {', '.join(sorted(known)) or 'none'}."
        )
    try:
        settings = msgspec.convert(values, settings_type, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{settings_type.__name__}: {error}") from None
    return msgspec.structs.replace(settings, given=frozenset(arguments or ()))


def parse(variable: Variable, text: str, *, source: str) -> Any:
    """Return the value that the text of an environment variable stands for.

    Raises:
        SettingsError: the text is not allowed; the message shows it unless it looks secret.
    """
    try:
        word = text.strip()
        return _parse(variable.type, variable.env.words.get(word.lower(), word))
    except ValueError:
        shown = "a value that is not shown" if variable.is_secret else repr(text)
        raise SettingsError(f"{source} holds {shown}; allowed: {variable.allowed}.") from None


def storable(settings: Settings) -> dict[str, Any]:
    """Return the settings' values by field name, without secrets and defaults.

    A later process of the same run, perhaps on another machine, starts from these.
    """
    return {
        variable.field: msgspec.to_builtins(value, enc_hook=str)
        for variable in variables(type(settings))
        if (value := getattr(settings, variable.field)) != variable.default
        and not holds_secret(variable, value)
    }


def holds_secret(variable: Variable, value: Any) -> bool:
    """Tell whether a value must not be stored: it is a secret, or an address with a password."""
    return variable.is_secret or (isinstance(value, str) and redact_text(value) != value)


def _parse(hint: Any, text: str) -> Any:
    for option in _options(hint):
        with suppress(KeyError, ValueError, msgspec.MsgspecError):
            return _PARSERS[get_origin(option) or option](option, text)
    raise ValueError(text)


def _parse_bool(_: Any, text: str) -> bool:
    word = text.lower()
    if word not in TRUE_WORDS + FALSE_WORDS:
        raise ValueError(text)
    return word in TRUE_WORDS


def _parse_word(option: Any, text: str) -> Any:
    words = {str(word).lower(): word for word in get_args(option)}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _parse_list(_: Any, text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


_PARSERS: dict[Any, Callable[[Any, str], Any]] = {
    bool: _parse_bool,
    Literal: _parse_word,
    list: _parse_list,
    dict: lambda _, text: msgspec.json.decode(text, type=dict),
    int: lambda _, text: msgspec.convert(text, int, strict=False),
    float: lambda _, text: msgspec.convert(text, float, strict=False),
    Path: lambda _, text: Path(text).expanduser().absolute(),
    str: lambda _, text: text,
}
"""How the text of a variable is read, by the type of its field."""


def _options(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(option for option in get_args(hint) if option is not type(None))
    return (hint,)


def _allowed(hint: Any) -> str:
    words = []
    for option in _options(hint):
        if option is bool:
            words.append("true or false (1/0, yes/no, on/off)")
        elif get_origin(option) is Literal:
            words.append(", ".join(str(word) for word in get_args(option)))
        elif get_origin(option) is list:
            words.append("names, separated by commas")
        elif get_origin(option) is dict:
            words.append("a JSON object")
        else:
            words.append(
                {int: "a whole number", float: "a number", Path: "a path"}.get(option, "text")
            )
    return ", or ".join(words)


def _decode(hint: type, value: Any) -> Any:
    if hint is Path:
        return Path(value).expanduser().absolute()
    raise NotImplementedError(hint)
