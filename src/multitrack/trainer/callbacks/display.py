"""What a terminal shows of a training: a progress bar, or plain lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from multitrack.trackers.texts import text_of
from multitrack.trainer.callbacks.base import TrainerCallback
from multitrack.trainer.callbacks.control import TrainerControl
from multitrack.trainer.callbacks.state import TrainerState
from multitrack.trainer.data.loaders import length_of
from multitrack.trainer.values import plain_numbers

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments

HIDDEN = ("total_flos",)
"""Logged values that a terminal does not show."""


class PrinterCallback(TrainerCallback):
    """Prints what is logged, one line each, on the first process of every machine."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Print the logged values, of which it changes none."""
        if state.is_local_process_zero:
            print(readable(logs or {}))  # noqa: T201 - this is its task


class ProgressCallback(TrainerCallback):
    """Shows a bar for training and one for each evaluation, on the first of all processes.

    Args:
        max_str_len: characters above which a logged string is left out.
    """

    def __init__(self, max_str_len: int = 100) -> None:
        self.training_bar: Any = None
        self.prediction_bar: Any = None
        self._predicted: Any = None
        self.max_str_len = max_str_len

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Open the bar, at the step of a resumed checkpoint."""
        if state.is_world_process_zero:
            self.training_bar = tqdm(
                total=state.max_steps, initial=state.global_step, dynamic_ncols=True
            )

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Move the bar."""
        if self.training_bar is not None:
            self.training_bar.update(state.global_step - self.training_bar.n)

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        eval_dataloader: Any = None,
        **_kwargs: Any,
    ) -> None:
        """Move the bar of the evaluation, which opens at its first batch."""
        length = length_of(eval_dataloader)
        if not state.is_world_process_zero or length is None:
            return
        if self._predicted is not eval_dataloader:  # an evaluation that failed leaves its bar
            self._close_prediction_bar()
        if self.prediction_bar is None:
            self._predicted = eval_dataloader
            self.prediction_bar = tqdm(
                total=length, leave=self.training_bar is None, dynamic_ncols=True
            )
        self.prediction_bar.update(1)

    def on_evaluate(self, *_args: Any, **_kwargs: Any) -> None:
        """Close the bar of the evaluation."""
        self._close_prediction_bar()

    def on_predict(self, *_args: Any, **_kwargs: Any) -> None:
        """Close the bar of the prediction."""
        self._close_prediction_bar()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Write the logged values above the bar."""
        if self.training_bar is not None:
            self.training_bar.write(str(readable(logs or {}, self.max_str_len)))

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Close the bar."""
        self._close_training_bar()

    def on_exception(self, *_args: Any, **_kwargs: Any) -> None:
        """Close all bars, so that the error stands on a line of its own."""
        self._close_prediction_bar()
        self._close_training_bar()

    def _close_training_bar(self) -> None:
        if self.training_bar is not None:
            self.training_bar.close()
        self.training_bar = None

    def _close_prediction_bar(self) -> None:
        if self.prediction_bar is not None:
            self.prediction_bar.close()
        self.prediction_bar = self._predicted = None


def readable(logs: dict[str, Any], max_str_len: int | None = None) -> dict[str, Any]:
    """Return what a terminal shows of logged values: floats with four significant digits."""
    shown = {key: value for key, value in logs.items() if key not in HIDDEN}
    plain_numbers(shown)
    return {text_of(key): _readable_value(value, max_str_len) for key, value in shown.items()}


def _readable_value(value: Any, max_str_len: int | None) -> Any:
    if issubclass(type(value), float):
        return f"{float.__float__(value):.4g}"
    if issubclass(type(value), str) and max_str_len is not None and len(value) > max_str_len:
        return f"[a string of {len(value)} characters; max_str_len is {max_str_len}]"
    is_plain = value is None or issubclass(type(value), bool | int | str)
    return value if is_plain else text_of(value)
