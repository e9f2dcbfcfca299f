"""multitrack in pytorch-ignite: a logger whose handlers are attached to engines.

from multitrack.compat.ignite import MultitrackLogger

logger = MultitrackLogger("digits", report_to=["tensorboard", "wandb"])
logger.attach_output_handler(
    trainer, Events.ITERATION_COMPLETED(every=100), tag="train", output_transform=lambda x: x
)
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
from ignite.engine import Engine
from ignite.handlers.base_logger import (
    BaseLogger,
    BaseOptimizerParamsHandler,
    BaseOutputHandler,
)

from multitrack.compat._failures import announce_failures
from multitrack.compat._late import LateRun, RunOptions
from multitrack.compat._refusing import log_row
from multitrack.trackers.outcomes import outcome_of
from multitrack.trackers.reception import refusing
from multitrack.trackers.run import Run
from multitrack.trackers.texts import Unread, attempt

if TYPE_CHECKING:
    from typing_extensions import Unpack


class MultitrackLogger(BaseLogger):
    """Record what engines put out, and deliver it to the trackers of ``report_to``.

    The process with rank 0 records one run; the others do nothing. A metric's name is
    ``<tag>/<name>``: tags ``train``, ``eval`` and ``test`` give the names that all hosts have.
    ``close()``, or the end of a ``with`` block, ends the run and waits for delivery. An exception
    that leaves ``Engine.run`` is told at once; for that the method is wrapped once, as a handler
    of ``EXCEPTION_RAISED`` would keep the exception from those who handle it.

    Args:
        project: what the run belongs to.
        name: of the run.
        options: ``report_to`` and all else that `multitrack.start_run` takes.

    Raises:
        ValueError: a backend, setting or other option that is not allowed.
        TypeError: same.
        ImportError: a backend's client is not installed; the message has the command.

    Example:
        >>> with MultitrackLogger(report_to="tensorboard", config={"lr": 0.1}) as logger:
        ...     logger.attach_opt_params_handler(trainer, Events.EPOCH_STARTED, optimizer)
        ...     trainer.run(loader, max_epochs=3)
    """

    def __init__(
        self, project: str | None = None, name: str | None = None, **options: Unpack[RunOptions]
    ) -> None:
        self._late = LateRun(project, name, **options)
        announce_failures(Engine, "run", _tell_loggers)

    @property
    def run(self) -> Run | None:
        """The run, which begins now if it has not yet; None where another process records."""
        return self._late.begin() if idist.get_rank() == 0 else None

    def attach(self, engine: Any, *args: Any, **kwargs: Any) -> Any:
        """Attach a handler to an engine, whose failure is then the run's."""
        _attached.setdefault(engine, weakref.WeakSet()).add(self)
        return super().attach(engine, *args, **kwargs)

    def on_exception(self, error: BaseException) -> None:
        """Write that an engine failed or was interrupted, and why."""
        if self._late.run is not None:
            self._late.run.finish(*outcome_of(error), wait=False)

    def close(self) -> None:
        """Write the outcome, and wait for delivery."""
        self._late.finish()

    def _create_output_handler(self, *args: Any, **kwargs: Any) -> OutputHandler:
        return OutputHandler(*args, **kwargs)

    def _create_opt_params_handler(self, *args: Any, **kwargs: Any) -> OptimizerParamsHandler:
        return OptimizerParamsHandler(*args, **kwargs)


class OutputHandler(BaseOutputHandler):
    """Log an engine's output, metrics and attributes: numbers as metrics, text as text.

    It takes the arguments of ignite's own output handlers: ``tag``, ``metric_names``,
    ``output_transform``, ``global_step_transform`` and ``state_attributes``.
    """

    def __call__(self, engine: Any, logger: MultitrackLogger, event_name: Any) -> None:
        """Log them at the step that ``global_step_transform`` tells."""
        if (run := logger.run) is None:
            return
        with refusing(run, "output"):
            step = attempt(self.global_step_transform, engine, event_name)
            row = attempt(
                self._setup_output_metrics_state_attrs, engine, log_text=True, key_tuple=False
            )
            if type(row) is Unread:  # an odd value of it raises in ignite: the others are kept
                output = self.output_transform(engine.state.output)
                row = {self.tag: output} if self.tag else output
            log_row(run, row, step)


class OptimizerParamsHandler(BaseOptimizerParamsHandler):
    """Log a parameter of each of an optimizer's groups, ``lr`` unless ``param_name`` says."""

    def __call__(self, engine: Any, logger: MultitrackLogger, event_name: Any) -> None:
        """Log it at the step, or the epoch, that the event counts."""
        if (run := logger.run) is None:
            return
        prefix = f"{self.tag}/" if self.tag else ""
        with refusing(run, f"{prefix}{self.param_name}"):
            groups = enumerate(self.optimizer.param_groups)
            row = {
                f"{prefix}{self.param_name}/group_{i}": group[self.param_name]
                for i, group in groups
            }
            run.log(row, engine.state.get_event_attrib_value(event_name))


_attached: weakref.WeakKeyDictionary[Any, weakref.WeakSet[MultitrackLogger]] = (
    weakref.WeakKeyDictionary()
)
"""The loggers that are attached to an engine."""


def _tell_loggers(engine: Any, error: BaseException) -> None:
    """Bring an exception that leaves an engine to its loggers."""
    for logger in list(_attached.get(engine, ())):
        logger.on_exception(error)
