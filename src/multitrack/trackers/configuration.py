"""What a training loop says of itself: its arguments, its model, and what the user adds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from multitrack.trackers.texts import Unread, attempt, text_of
from multitrack.trackers.values import take_tree

logger = logging.getLogger("multitrack")

ConfigNames: TypeAlias = Literal["nested", "flat"]


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
            MLflow; where a name occurs twice, the later of model, arguments and config wins.

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
        return {**facts, **counted, **of_peft, **_named(args, "args"), **own}
    of_model = {**facts, **({} if count is None else {"num_parameters": count})}
    tree: dict[str, Any] = {"args": args, **({"model": of_model} if of_model else {}), **of_peft}
    return tree if config is None else {**tree, "config": config}


def _facts(model: Any) -> Mapping[str, Any]:
    """Return a model's own configuration by name; empty if it has none."""
    config = _attribute(model, "config")
    return {} if config is None else _named(config, "config")


def _count(model: Any) -> int | None:
    """Return how many parameters a model has; None if it cannot say, as while it is lazy."""
    parameters = _attribute(model, "parameters")
    if not callable(parameters):
        return None
    count = attempt(lambda: sum(int(one.numel()) for one in parameters()))
    _is_unread(count, "number of parameters")
    return count if isinstance(count, int) else None


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
