"""TrainerState: where training stands."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitrack.trackers.folder import replace_file
from multitrack.trackers.records import NON_FINITE
from multitrack.trackers.values import as_tree
from multitrack.trainer.callbacks.exportable import export_states

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments


@dataclass
class TrainerState:
    """What the loop knows about itself; checkpoints keep it as ``trainer_state.json``.

    A step is an update step: with gradient accumulation it takes several micro-batches.

    Attributes:
        epoch: epochs done, with the fraction of the present one.
        global_step: steps done.
        max_steps: steps that this training will do.
        logging_steps: steps between two logs; likewise `eval_steps` and `save_steps`.
        train_batch_size: samples in a micro-batch on this process.
        num_train_epochs: epochs that this training will do, rounded up.
        num_input_tokens_seen: tokens trained on by all processes, brought up to date when
            something is logged or saved.
        total_flos: floating-point operations done, for models that count them.
        log_history: one dict for everything logged, with its ``step``.
        best_metric: best value so far of the metric that chooses the best model.
        best_global_step: step at which it was reached.
        best_model_checkpoint: path of that step's checkpoint, if there is one.
        is_local_process_zero: whether this process is the first of its machine.
        is_world_process_zero: whether this process is the first of all.
        is_hyper_param_search: whether a hyper-parameter search runs this training.
        trial_name: name of its trial.
        trial_params: hyper-parameters of its trial.
        stateful_callbacks: states of callbacks by class name; built from the callbacks
            themselves if those are given.
    """

    epoch: float = 0
    global_step: int = 0
    max_steps: int = 0
    logging_steps: int = 500
    eval_steps: int = 500
    save_steps: int = 500
    train_batch_size: int | None = None
    num_train_epochs: int = 0
    num_input_tokens_seen: int = 0
    total_flos: float = 0
    log_history: list[dict[str, Any]] = field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True
    is_hyper_param_search: bool = False
    trial_name: str | None = None
    trial_params: dict[str, Any] | None = None
    stateful_callbacks: Any = None

    def __post_init__(self) -> None:
        self.log_history = self.log_history if self.log_history is not None else []
        if not isinstance(self.stateful_callbacks, dict):
            self.refresh_callbacks(self.stateful_callbacks or ())

    def refresh_callbacks(self, callbacks: Iterable[Any]) -> None:
        """Take over the present states of the stateful ones among the callbacks."""
        self.stateful_callbacks = export_states(callbacks)

    def compute_steps(self, args: TrainingArguments, max_steps: int) -> None:
        """Set the step intervals from the arguments; below 1 they are parts of `max_steps`."""
        for name in ("logging_steps", "eval_steps", "save_steps"):
            value = getattr(args, name)
            if value is not None:
                setattr(self, name, math.ceil(max_steps * value) if value < 1 else int(value))

    def save_to_json(self, json_path: str | Path) -> None:
        """Write the state as strict JSON, atomically.

        Numbers of numpy and torch become plain ones, what JSON cannot hold becomes its text, and
        the numbers that JSON lacks are spelled ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
        """
        tree = as_tree(self)
        text = json.dumps(tree, indent=2, sort_keys=True, allow_nan=False) + "\n"
        replace_file(Path(json_path), text.encode())

    @classmethod
    def load_from_json(cls, json_path: str | Path) -> TrainerState:
        """Read a state that `save_to_json` or transformers wrote; unknown fields are left out."""
        values = json.loads(Path(json_path).read_text(encoding="utf-8"))
        known = {field.name for field in dataclasses.fields(cls)}
        state = cls(**{name: value for name, value in values.items() if name in known})
        state.best_metric = _restore_number(state.best_metric)
        state.log_history = [
            {key: _restore_number(value) for key, value in row.items()} for row in state.log_history
        ]
        return state


def _restore_number(value: Any) -> Any:
    return NON_FINITE.get(value, value) if isinstance(value, str) else value
