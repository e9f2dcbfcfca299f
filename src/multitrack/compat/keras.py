"""multitrack in Keras 3: a callback for ``fit`` and ``evaluate``, on any of its backends.

from multitrack.compat.keras import MultitrackCallback

model.fit(x, y, callbacks=[MultitrackCallback("digits", report_to=["tensorboard", "wandb"])])
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras

from multitrack.compat._failures import announce_failures
from multitrack.compat._late import LateRun, RunOptions
from multitrack.trackers.callback import holds, rename
from multitrack.trackers.names import apart
from multitrack.trackers.outcomes import outcome_of
from multitrack.trackers.reception import refusing
from multitrack.trackers.run import Run
from multitrack.trackers.structure import pairs_of
from multitrack.trackers.texts import Unread, attempt, text_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


class MultitrackCallback(keras.callbacks.Callback):
    """Record Keras training, and deliver it to the trackers of ``report_to``.

    Steps are batches, counted on when a model is trained again or after it was loaded. Each
    epoch's metrics are ``train/…``, those of its validation data ``eval/…``, and those of
    ``model.evaluate`` are ``test/…``; all with one callback belong to one run, unless another model
    begins to be trained, such as that of the next fold: it has a run of its own. Keras has no event
    for training that fails: this callback wraps ``keras.Model.fit`` once, so that a run which
    raises or is interrupted gets its status at once. Of several processes that ``torchrun``
    starts, the one with rank 0 records.

    Args:
        project: what the run belongs to.
        name: of the run.
        log_every: batches after which the running means of the epoch are recorded as well;
            0 for epochs alone.
        options: ``report_to`` and all else that `multitrack.start_run` takes.

    Raises:
        ValueError: a backend, setting or other option that is not allowed.
        TypeError: same.
        ImportError: a backend's client is not installed; the message has the command.

    Example:
        >>> model.fit(x, y, callbacks=[MultitrackCallback(report_to="tensorboard")])
    """

    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        *,
        log_every: int = 0,
        **options: Unpack[RunOptions],
    ) -> None:
        super().__init__()
        self._late = LateRun(project, name, **options)
        self._records = os.environ.get("RANK", "0") == "0"
        self._log_every = log_every
        self._step = self._before_epoch = 0
        self._epoch: float | None = None
        self._trained: Any = lambda: None
        announce_failures(keras.Model, "fit", _tell_callbacks)

    @property
    def run(self) -> Run | None:
        """The run; None before it begins, and where another process records."""
        return self._late.run

    # -- events ----------------------------------------------------------------------------

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Begin the run, or go on with it."""
        _training[self] = self.model
        if self._trained() not in {None, self.model} and not _steps_done(self.model):
            self._late.begin_anew()
            self._step, self._epoch = 0, None
        self._trained = weakref.ref(self.model)
        self._step = max(self._step, _steps_done(self.model))
        if self._records:
            self._late.begin().log_params(_configuration(self.model, self.params))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Remember where the epoch's batches are counted from."""
        self._before_epoch = self._step

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Count, and record the running means if they are asked for."""
        before, self._step = self._step, self._before_epoch + batch + 1
        if self._log_every and before // self._log_every < self._step // self._log_every:
            self._log(logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record the epoch's metrics, and those of its validation."""
        self._epoch = epoch + 1
        self._log(logs, _without_val)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Record what ``evaluate`` found; validation within ``fit`` comes with its epoch."""
        if self not in _training:
            self._log(logs, "test_{}".format)
            self._finish()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the outcome; what comes later still belongs to the run."""
        _training.pop(self, None)
        self._finish()

    def on_exception(self, error: BaseException) -> None:
        """Write that training failed or was interrupted, and why."""
        _training.pop(self, None)
        if self.run is not None:
            self.run.finish(*outcome_of(error), wait=False)

    # -- within ----------------------------------------------------------------------------

    def _log(self, logs: Any, named: Callable[[str], str] = str) -> None:
        if not self._records or not holds(logs):
            return
        run = self._late.begin()
        with refusing(run, "logs"):
            row = apart((named(text_of(key)), value) for key, value in pairs_of(logs))
            run.log(rename(dict(row)), self._step, self._epoch)

    def _finish(self) -> None:
        if self.run is not None:
            self.run.finish(wait=False)


_training: weakref.WeakKeyDictionary[MultitrackCallback, Any] = weakref.WeakKeyDictionary()
"""The callbacks whose model is in ``fit``, with that model."""


def _tell_callbacks(model: Any, error: BaseException) -> None:
    """Bring an exception that leaves ``fit`` to the callbacks that record it."""
    for callback, trained in list(_training.items()):
        if trained is model:
            callback.on_exception(error)


def _without_val(key: str) -> str:
    return f"eval_{key.removeprefix('val_')}" if key.startswith("val_") else key


def _steps_done(model: Any) -> int:
    optimizer = getattr(model, "optimizer", None)
    return 0 if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))


def _configuration(model: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``fit`` and ``compile`` were given, and the model's size."""
    arguments = {key: params.get(key) for key in ("epochs", "steps")}
    if optimizer := getattr(model, "optimizer", None):
        config = attempt(optimizer.get_config)  # of a user's own schedule, too
        arguments["optimizer"] = text_of(optimizer) if type(config) is Unread else config
    facts = {"name": model.name}
    count = attempt(model.count_params) if model.built else None
    if isinstance(count, int):
        facts["num_parameters"] = count
    return {"args": arguments, "model": facts}
