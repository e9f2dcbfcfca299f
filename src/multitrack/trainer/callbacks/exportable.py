"""Callbacks with a state that checkpoints keep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

State: TypeAlias = dict[str, Any]
"""``{"args": {...}, "attributes": {...}}``, of what JSON can hold; either may be left out."""


class ExportableState:
    """Base of callbacks whose state is kept in checkpoints.

    Any object with `state` and `from_state` is treated the same, whatever its base class.

    Example:
        ```python
        class Counter(TrainerCallback, ExportableState):
            def __init__(self, start=0):
                self.start = start
                self.steps = 0

            def on_step_end(self, args, state, control, **kwargs):
                self.steps += 1

            def state(self):
                return {"args": {"start": self.start}, "attributes": {"steps": self.steps}}
        ```
    """

    def state(self) -> State:
        """Return ``{"args": constructor arguments, "attributes": values to set afterwards}``.

        Raises:
            NotImplementedError: the class does not say what its state is.
        """
        raise NotImplementedError(
            f"{type(self).__name__} inherits from ExportableState and must define state(), which "
            'returns {"args": {...}, "attributes": {...}}'
        )

    @classmethod
    def from_state(cls, state: State) -> Any:
        """Return a new instance with the given state."""
        instance = cls(**state.get("args", {}))
        for name, value in state.get("attributes", {}).items():
            setattr(instance, name, value)
        return instance


def is_exportable(callback: object) -> bool:
    """Tell whether a callback has a state that can be kept and brought back."""
    return all(callable(getattr(callback, name, None)) for name in ("state", "from_state"))


def export_states(callbacks: Iterable[Any]) -> dict[str, State | list[State]]:
    """Return the states of all stateful callbacks by class name, as checkpoints keep them.

    A class that occurs once gives its state, one that occurs more often the list of its states,
    in the order of the callbacks.
    """
    states: dict[str, list[State]] = {}
    for callback in filter(is_exportable, callbacks):
        states.setdefault(type(callback).__name__, []).append(callback.state())
    return {name: found if len(found) > 1 else found[0] for name, found in states.items()}


def restore_states(callbacks: Iterable[Any], stored: dict[str, State | list[State]]) -> list[str]:
    """Bring stored states back into living callbacks, in place.

    The first callback of a class gets the first state stored under its name, and so on.
    A callback without a stored state stays as it is.

    Returns:
        The class names of states that no callback took.
    """
    remaining = {name: _as_list(states) for name, states in stored.items()}
    for callback in filter(is_exportable, callbacks):
        if states := remaining.get(type(callback).__name__):
            restore_in_place(callback, states.pop(0))
    return sorted(name for name, states in remaining.items() if states)


def restore_in_place(callback: Any, state: State) -> None:
    """Give a living callback the state that `from_state` builds; references to it stay good."""
    whole = {"args": {}, "attributes": {}, **state}  # a from_state of others may ask for both
    restored = type(callback).from_state(whole)
    callback.__dict__.update(vars(restored))


def _as_list(states: State | list[State]) -> list[State]:
    return list(states) if isinstance(states, list) else [states]
