"""The callbacks that a Trainer has, and their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from multitrack.trackers import notebook
from multitrack.trainer.callbacks.display import PrinterCallback, ProgressCallback
from multitrack.trainer.callbacks.flow import DefaultFlowCallback
from multitrack.trainer.callbacks.handler import CallbackHandler
from multitrack.trainer.callbacks.notebook import NotebookProgressCallback

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments


def build_handler(
    args: TrainingArguments, callbacks: Iterable[Any] | None, **references: Any
) -> CallbackHandler:
    """Return the handler: the default flow, the user's callbacks, the display, the reporter.

    Reporting comes last, so that values which callbacks add to logs are reported too.

    Args:
        args: say what to display and where to report.
        callbacks: the user's.
        references: the model and what else every event is given.
    """
    handler = CallbackHandler([DefaultFlowCallback, *(callbacks or [])], **references)
    handler.add_callback(PrinterCallback if args.disable_tqdm else _progress())
    if args.report_to:
        from multitrack.trackers.callback import TrackingCallback

        ranks: Any = str(args.log_ranks)  # a word that the arguments have checked
        handler.add_reporter(TrackingCallback(report_to=args.report_to, log_ranks=ranks))
    return handler


def _progress() -> type[ProgressCallback]:
    return ProgressCallback if notebook.shell() is None else NotebookProgressCallback
