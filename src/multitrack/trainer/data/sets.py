"""Evaluation sets by name."""

from __future__ import annotations

from typing import Any


def chosen_set(own: Any, asked: Any) -> Any:
    """Return a data set: the one asked for, that of a name, or the only one that there is.

    Args:
        own: the Trainer's evaluation set, or a dict of several by name, or None.
        asked: a data set, the name of one, or None for the Trainer's own.

    Raises:
        ValueError: there is none, none of that name, or there are several.
    """
    if isinstance(asked, str):
        if not (isinstance(own, dict) and asked in own):
            raise ValueError(f"there is no evaluation set {asked!r}: {_told(own)}")
        return own[asked]
    found = own if asked is None else asked
    if found is None:
        raise ValueError("Trainer: evaluation requires an eval_dataset")
    are_several = isinstance(found, dict)
    if are_several:
        raise ValueError(f"one data set is wanted, not a dict of several: {_told(found)}")
    return found


def _told(sets: Any) -> str:
    if not isinstance(sets, dict):
        return "eval_dataset is no dict of sets by name"
    names = ", ".join(map(repr, sets))
    return f"pass one of {names}" if isinstance(next(iter(sets), ""), str) else f"there are {names}"
