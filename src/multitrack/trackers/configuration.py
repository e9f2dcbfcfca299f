"""What a training loop says of itself: its arguments, its model, and what the user adds."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from multitrack.trackers.names import apart
from multitrack.trackers.texts import Unread, attempt, text_of
from multitrack.trackers.values import take_tree

logger = logging.getLogger("multitrack")

ConfigNames: TypeAlias = Literal["nested", "flat"]
MOST_PARAMETERS = 1_000_000
"""Tensors of a model that are counted: the largest models have some 100,000."""


def configuration(
    args: Any, model: Any, config: Any, names: ConfigNames = "nested"
) -> dict[str, Any]:
    """Return the run's config: arguments, model, adapters of the model, and the user's own.

    Args:
        args: the loop's arguments.
        model: what is trained. Its ``config`` may be anything with named values, or a text; its
            ``peft_config`` is that of peft.
        config: the user's own; None for nothing.
        names: ``"nested"``: each under a name of its own, ``args``, ``model``, ``peft_config`` and
            ``config``. ``"flat"``: side by side, as transformers' callbacks give them to W&B and
            MLflow; where a name occurs twice, the later of model, arguments and config has it, and
            the earlier, if it is another value, ``model/…`` or ``args/…``.

    >>> configuration({"lr": 0.1}, None, {"seed": 7})
    {'args': {'lr': 0.1}, 'config': {'seed': 7}}
    >>> configuration({"lr": 0.1}, None, {"seed": 7}, "flat")
    {'lr': 0.1, 'seed': 7}
    """
    facts, count, adapters = _facts(model), _count(model), _attribute(model, "peft_config")
    of_peft = {} if adapters is None else {"peft_config": adapters}
    if names == "flat":
        counted = {} if count is None else {"model/num_parameters": count}
        own = {} if config is None else _named(config, "config")
        of_args = _named(args, "args")
        ours = {**counted, **of_peft}
        parts = [("model", facts), ("model", ours), ("args", of_args), ("config", own)]
        return _side_by_side(parts)
    of_model = {**facts, **({} if count is None else {"num_parameters": count})}
    tree: dict[str, Any] = {"args": args, **({"model": of_model} if of_model else {}), **of_peft}
    return tree if config is None else {**tree, "config": config}


def _side_by_side(parts: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return all values in one dict; one that a later part hides has its part's name before it."""
    tree: dict[str, Any] = {}
    owners: dict[str, str] = {}
    hidden: list[tuple[str, Any]] = []
    for part, values in parts:
        for name, value in values.items():
            if name in tree and attempt(lambda a, b: bool(a == b), tree[name], value) is not True:
                hidden.append((f"{owners[name]}/{name}", tree[name]))
            tree[name], owners[name] = value, part
    return dict(apart([*tree.items(), *hidden]))


def _facts(model: Any) -> Mapping[str, Any]:
    """Return a model's own configuration by name; empty if it has none."""
    config = _attribute(model, "config")
    return {} if config is None else _named(config, "config")


def _count(model: Any) -> int | None:
    """Return how many parameters a model has; None if it cannot say, as while it is lazy."""
    parameters = _attribute(model, "parameters")
    if not callable(parameters):
        return None
    count = attempt(lambda: _total(parameters()))
    _is_unread(count, "number of parameters")
    return count if isinstance(count, int) else None


def _total(parameters: Iterable[Any]) -> int:
    """Return the sum of the parameters' sizes.

    Raises:
        ValueError: there are so many that there may be no end.
    """
    total = 0
    for number, one in enumerate(parameters):
        if number == MOST_PARAMETERS:
            raise ValueError(f"parameters() gives more than {MOST_PARAMETERS:,}")
        total += int(one.numel())
    return total


def _attribute(model: Any, name: str) -> Any:
    """Return an attribute of a model; None if it has none, or one that cannot be read."""
    value = attempt(getattr, model, name, None)
    return None if _is_unread(value, name) else value


def _is_unread(value: Any, what: str) -> bool:
    """Tell whether something of a model could not be read, and say so."""
    if type(value) is not Unread:
        return False
    logger.warning("the model's %s was not recorded: %s", what, value.reason)
    return True


def _named(value: Any, name: str) -> Mapping[str, Any]:
    """Return the values that something holds by name; what names nothing has the name given."""
    taken = attempt(take_tree, value, name)
    if type(taken) is Unread:
        return _public(value) or {name: value}
    for place, reason in taken.refused.items():
        logger.warning("not recorded: %s: %s", place, reason)
    return taken.tree or ({name: text_of(value)} if taken.refused else {})


def _public(value: Any) -> dict[str, Any]:
    """Return the attributes of a plain object, but those that are its own affair."""
    attributes = attempt(vars, value)
    if type(attributes) is Unread:
        return {}
    return {name: attributes[name] for name in attributes if not name.startswith("_")}
