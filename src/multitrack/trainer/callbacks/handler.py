"""CallbackHandler: the list of callbacks, and the dispatch of events to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from multitrack.trainer.callbacks.control import TrainerControl
from multitrack.trainer.callbacks.flow import DefaultFlowCallback
from multitrack.trainer.callbacks.state import TrainerState

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments

logger = logging.getLogger(__name__)

RESETS: dict[str, tuple[str, ...]] = {
    "on_train_begin": ("should_training_stop",),
    "on_epoch_begin": ("should_epoch_stop",),
    "on_step_begin": ("should_log", "should_evaluate", "should_save"),
    "on_log": ("should_log",),
    "on_evaluate": ("should_evaluate",),
    "on_save": ("should_save",),
}
"""The switches that are cleared just before an event is dispatched."""

PAYLOADS = {"on_log": "logs", "on_evaluate": "metrics", "on_predict": "metrics"}
"""What the method of an event takes besides, as transformers' handler has it."""


class CallbackHandler:
    """Calls callbacks one after the other, in the order of its list, on every process.

    Args:
        callbacks: callbacks, or classes of callbacks to be made without arguments.
        model: given to every event, like the following.
        processing_class: what prepares samples, such as a tokenizer.
        optimizer: the optimizer, once there is one.
        lr_scheduler: the scheduler, once there is one.
    """

    def __init__(
        self,
        callbacks: Iterable[Any],
        model: Any = None,
        processing_class: Any = None,
        optimizer: Any = None,
        lr_scheduler: Any = None,
    ) -> None:
        self.callbacks: list[Any] = []
        self.reporters: list[Any] = []
        self.model = model
        self.processing_class = processing_class
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.train_dataloader: Any = None
        self.eval_dataloader: Any = None
        self._depth = 0
        for callback in callbacks:
            self.add_callback(callback)
        self._warn_without_flow()

    @property
    def callback_list(self) -> str:
        """The class names of the callbacks, one a line."""
        return "\n".join(type(callback).__name__ for callback in self.callbacks)

    def add_callback(self, callback: Any) -> None:
        """Add a callback, or a class of one: after all others, but before the reporters.

        A second one of a class is added too, with a warning. A callback whose class sets
        ``is_reporter`` is a reporter.
        """
        instance = callback() if isinstance(callback, type) else callback
        self._warn_of_second(instance)
        if getattr(instance, "is_reporter", False):
            self.add_reporter(instance)
            return
        reporters = sum(any(cb is r for r in self.reporters) for cb in self.callbacks)
        self.callbacks.insert(len(self.callbacks) - reporters, instance)

    def add_reporter(self, callback: Any) -> None:
        """Add a callback that stays behind all others, so that it sees what they add to logs."""
        self.reporters.append(callback)
        self.callbacks.append(callback)

    def pop_callback(self, callback: Any) -> Any | None:
        """Remove a callback and return it; None if there is none.

        Args:
            callback: a class, for its first instance (of subclasses too), or a callback.
        """
        for index, present in enumerate(self.callbacks):
            if _matches(present, callback):
                self.reporters = [one for one in self.reporters if one is not present]
                return self.callbacks.pop(index)
        return None

    def remove_callback(self, callback: Any) -> None:
        """Remove a callback.

        Args:
            callback: a class, for its first instance (of subclasses too), or a callback.

        Raises:
            ValueError: a callback was given, not a class, and it is not in the list.
        """
        if self.pop_callback(callback) is None and not isinstance(callback, type):
            raise ValueError(
                f"{callback!r} is not a callback of this Trainer; it has:\n{self.callback_list}"
            )

    def call_event(
        self,
        event: str,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **payload: Any,
    ) -> TrainerControl:
        """Clear the switches that belong to an event, and call every callback's handler.

        A switch that was on while another event was being dispatched is on again afterwards:
        a callback that logs or evaluates by itself takes nothing from the loop.

        Returns:
            The control that the last handler returned, or else the one that was given.
        """
        switches = RESETS.get(event, ())
        pending = [name for name in switches if self._depth and getattr(control, name)]
        for name in switches:
            setattr(control, name, False)
        control = self._dispatch(event, args, state, control, payload)
        for name in pending:
            setattr(control, name, True)
        return control

    def __getattr__(self, name: str) -> Callable[..., TrainerControl]:
        """Return the method of an event, such as ``on_log(args, state, control, logs)``."""
        if not name.startswith("on_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def call(
            args: TrainingArguments, state: TrainerState, control: TrainerControl, *payload: Any
        ) -> TrainerControl:
            named = {PAYLOADS[name]: payload[0]} if payload else {}
            return self.call_event(name, args, state, control, **named)

        return call

    def call_exception(
        self,
        exception: BaseException,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
    ) -> None:
        """Call every `on_exception`; one that raises is logged and stops none of the others."""
        for callback in tuple(self.callbacks):
            handler = getattr(callback, "on_exception", None)
            if handler is None:
                continue
            try:
                handler(args, state, control, exception=exception, **self._common())
            except Exception:  # the exception that ended training must not be hidden
                logger.exception("%s failed in on_exception", type(callback).__name__)

    def _dispatch(
        self,
        event: str,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        payload: dict[str, Any],
    ) -> TrainerControl:
        self._depth += 1
        try:
            for callback in tuple(self.callbacks):
                # Callbacks of other libraries need not know the events that only we have.
                handler = getattr(callback, event, None)
                if handler is None:
                    continue
                try:
                    answer = handler(args, state, control, **self._common(), **payload)
                except Exception as error:
                    name_culprit(error, callback, event)
                    raise
                control = control if answer is None else answer
        finally:
            self._depth -= 1
        return control

    def _common(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "processing_class": self.processing_class,
            "optimizer": self.optimizer,
            "lr_scheduler": self.lr_scheduler,
            "train_dataloader": self.train_dataloader,
            "eval_dataloader": self.eval_dataloader,
        }

    def _warn_of_second(self, callback: Any) -> None:
        if type(callback) in map(type, self.callbacks):
            logger.warning(
                "You are adding a %s to the callbacks of this Trainer, which has one already. "
                "Its callbacks are:\n%s",
                type(callback).__name__,
                self.callback_list,
            )

    def _warn_without_flow(self) -> None:
        if not any(type(cb).__name__ == DefaultFlowCallback.__name__ for cb in self.callbacks):
            logger.warning(
                "The callbacks lack a DefaultFlowCallback: nothing will be logged, evaluated or "
                "saved, and max_steps will not be obeyed. The callbacks are:\n%s",
                self.callback_list,
            )


def name_culprit(error: Exception, callback: object, event: str) -> None:
    """Add to an exception which callback raised it, and at which event."""
    kind = type(callback)
    note = f"raised by the callback {kind.__module__}.{kind.__qualname__} in {event}"
    if hasattr(error, "add_note"):
        error.add_note(note)
    else:  # Python 3.10 has no notes
        logger.error("%s: %s was %s", type(error).__name__, error, note)


def _matches(present: Any, wanted: Any) -> bool:
    if isinstance(wanted, type):
        return isinstance(present, wanted)
    return bool(present == wanted)
