"""What a notebook shows of a training: a bar, and a table with a row for each evaluation or log."""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING, Any

from multitrack.trackers import notebook
from multitrack.trainer.callbacks.control import TrainerControl
from multitrack.trainer.callbacks.display import HIDDEN, ProgressCallback, readable
from multitrack.trainer.callbacks.state import TrainerState
from multitrack.trainer.data.loaders import length_of

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments

INTERVAL = 0.3
"""Fewest seconds from one look of a bar to the next."""
MOST_ROWS = 100
"""Rows that are shown; a notebook keeps all that is ever shown in it."""
UNSHOWN = ("epoch", "num_input_tokens_seen", *HIDDEN)
UNSHOWN_ENDS = ("_runtime", "_per_second", "_model_preparation_time")
CELL = "padding:2px 14px 2px 0;text-align:right;border:0;background:none"


class Bar:
    """A bar as HTML: how much of something is done, and how long the rest takes.

    Args:
        total: of what there is.
        start: what was done before.
        label: what it is of.
    """

    def __init__(self, total: int, start: int = 0, label: str = "") -> None:
        self.total = total
        self.start = self.done = start
        self.label = label
        self._began = time.monotonic()

    def html(self) -> str:
        """Return it as it is now."""
        spent = time.monotonic() - self._began
        own = self.done - self.start
        facts = [f"{self.done:,}/{self.total:,}", _clock(spent)]
        if own and self.done < self.total:
            facts[-1] += f" &lt; {_clock(spent / own * (self.total - self.done))}"
        facts += [_rate(own / spent)] if own and spent else []
        facts += [escape(self.label)] if self.label else []
        bar = f'<progress max="{self.total}" value="{self.done}" style="width:260px"></progress>'
        return f"<div>{bar} {', '.join(facts)}</div>"


class Table:
    """A table as HTML, whose rows go by step; columns appear with their first value.

    Args:
        first: heading of the first column.
    """

    def __init__(self, first: str) -> None:
        self.first = first
        self.columns: list[str] = []
        self.rows: dict[Any, dict[str, Any]] = {}

    def write(self, place: Any, values: dict[str, Any]) -> None:
        """Add a row, or more values to the row of the same place."""
        self.rows.setdefault(place, {}).update(values)
        self.columns += [name for name in values if name not in self.columns]

    def html(self) -> str:
        """Return it as it is now, without its oldest rows if there are many."""
        if not self.rows:
            return ""
        places = list(self.rows)[-MOST_ROWS:]
        left = len(self.rows) - len(places)
        above = f"<div>{left:,} earlier rows are in log_history</div>" if left else ""
        head = _row("th", [self.first, *self.columns])
        body = "".join(
            _row("td", [place, *(self.rows[place].get(name, "") for name in self.columns)])
            for place in places
        )
        style = "border-collapse:collapse;border:0;font:inherit;color:inherit"
        return f'{above}<table style="{style}"><thead>{head}</thead><tbody>{body}</tbody></table>'


class NotebookProgressCallback(ProgressCallback):
    """Shows a bar and a table below the cell, on the first of all processes.

    The table has a row for each evaluation, with the last loss of training, or for each log where
    training does not evaluate.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: notebook.Shown | None = None
        self._table: Table | None = None
        self._loss: Any = ""
        self._evaluates = False
        self._next = 0.0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Open bar and table below the cell that trains."""
        if not state.is_world_process_zero:
            return
        self._evaluates = str(args.eval_strategy) != "no"
        self._table = Table("Epoch" if str(args.eval_strategy) == "epoch" else "Step")
        self.training_bar = Bar(state.max_steps, state.global_step)
        self._shown = None
        self._show(is_due=True)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Move the bar, now and then."""
        if self.training_bar is not None:
            self.training_bar.done = state.global_step
            self.training_bar.label = f"epoch {state.epoch:.4g}/{state.num_train_epochs}"
            self._show(is_due=state.global_step >= state.max_steps)

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
        if self._predicted is not eval_dataloader:
            self._predicted = eval_dataloader
            self.prediction_bar = Bar(length)
        self.prediction_bar.done += 1
        self._show()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Write a row, where no evaluation will."""
        if self._table is None or "loss" not in (logs or {}):
            return
        self._loss = _values({"loss": logs["loss"]} if logs else {}).get("Loss", "")
        if not self._evaluates:
            self._table.write(state.global_step, {"Training Loss": self._loss})
            self._show()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Write the metrics into the row of this step, or into a table of their own."""
        self._close_prediction_bar()
        if not state.is_world_process_zero:
            return
        if self._table is None:
            table = Table("Step")
            table.write(state.global_step, _values(metrics or {}))
            self._replace(table.html())
            self._shown = None
            return
        place = f"{state.epoch:.4g}" if self._table.first == "Epoch" else state.global_step
        self._table.write(place, {"Training Loss": self._loss, **_values(metrics or {})})
        self._show(is_due=True)

    def on_predict(self, *_args: Any, **_kwargs: Any) -> None:
        """Take the bar of the prediction away."""
        self._close_prediction_bar()
        if self._table is None:
            self._replace("")
            self._shown = None

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Show the last, and leave it."""
        self._end()

    def on_exception(self, *_args: Any, **_kwargs: Any) -> None:
        """Show how far training came, above the error."""
        self._end()

    def _end(self) -> None:
        self._close_prediction_bar()
        if self._table is not None:
            self._show(is_due=True)
        self._table = self._shown = self.training_bar = None

    def _show(self, *, is_due: bool = False) -> None:
        """Show all there is, below the cell; often asked, it does so now and then."""
        now = time.monotonic()
        if now < self._next and not is_due:
            return
        self._next = now + INTERVAL
        parts = [self.training_bar, self._table, self.prediction_bar]
        self._replace("".join(part.html() for part in parts if part is not None))

    def _replace(self, html: str) -> None:
        if self._shown is not None:
            self._shown.update(html)
        elif html:
            self._shown = notebook.Shown(html)

    def _close_prediction_bar(self) -> None:
        self.prediction_bar = self._predicted = None


def _values(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return what the table shows of metrics, under names for people."""
    return {
        _heading(name): value
        for name, value in readable(metrics).items()
        if name not in UNSHOWN and not name.endswith(UNSHOWN_ENDS)
    }


def _heading(name: str) -> str:
    """Return a metric's name for people.

    >>> _heading("eval_loss"), _heading("eval_first_f1"), _heading("loss")
    ('Validation Loss', 'First F1', 'Loss')
    """
    words = name.removeprefix("eval_").replace("_", " ").title()
    return f"Validation {words}" if name == "eval_loss" else words


def _row(cell: str, values: list[Any]) -> str:
    cells = (f'<{cell} style="{CELL}">{escape(str(value))}</{cell}>' for value in values)
    return f"<tr>{''.join(cells)}</tr>"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.3g}/s"  # noqa: PLR2004 - three digits


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
