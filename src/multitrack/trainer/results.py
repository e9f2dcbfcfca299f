"""What scripts do with the metrics of a training: print them, and keep them as files."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from multitrack.trackers.texts import text_of
from multitrack.trackers.values import as_tree
from multitrack.trainer.callbacks.state import TrainerState
from multitrack.trainer.checkpoints.folders import STATE_FILE

logger = logging.getLogger(__name__)


class Results:
    """The methods that scripts for transformers' Trainer call when training is over.

    Attributes:
        output_dir: the folder of the files.
        state: what `save_state` keeps.
        accelerator: knows the other processes.
    """

    output_dir: Path
    state: TrainerState
    accelerator: Accelerator

    def is_world_process_zero(self) -> bool:
        """Tell whether this process is the first of all."""
        raise NotImplementedError

    def log_metrics(self, split: str, metrics: Mapping[str, Any]) -> None:
        """Print metrics, on the first process.

        Args:
            split: what they are of: train, eval, test.
            metrics: values by name.
        """
        if not self.is_world_process_zero():
            return
        readable = self.metrics_format(metrics).items()
        shown = {text_of(name): text_of(value) for name, value in readable}
        names = max(map(len, shown), default=0)
        values = max(map(len, shown.values()), default=0)
        lines = [f"  {name:<{names}} = {shown[name]:>{values}}" for name in sorted(shown)]
        print(f"***** {split} metrics *****", *lines, sep="\n")  # noqa: T201 - this is its task

    def metrics_format(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Return metrics as one would like to read them."""
        return {name: _readable(name, value) for name, value in metrics.items()}

    def save_metrics(self, split: str, metrics: Mapping[str, Any], combined: bool = True) -> None:
        """Write metrics to ``<split>_results.json`` in the output folder, on the first process.

        Args:
            split: what they are of: train, eval, test, or all.
            metrics: values by name.
            combined: whether to add them to ``all_results.json`` as well.
        """
        if not self.is_world_process_zero():
            return
        _write(self.output_dir / f"{split}_results.json", dict(metrics))
        if combined:
            path = self.output_dir / "all_results.json"
            before = json.loads(path.read_text()) if path.is_file() else {}
            _write(path, {**before, **metrics})

    def save_state(self) -> None:
        """Write ``trainer_state.json`` to the output folder, on the first process."""
        if self.is_world_process_zero():
            self.state.save_to_json(self.output_dir / STATE_FILE)

    def end(self) -> None:
        """Leave the other processes, at the very end of a script; every process must call this."""
        self.accelerator.end_training()

    def create_model_card(self, *_args: Any, **_options: Any) -> None:
        """Write no card: scripts call this where they do not push to the hub."""
        logger.warning("create_model_card writes nothing: a model card is yours to write")


def _readable(name: str, value: Any) -> Any:
    if not isinstance(value, int | float):
        return value
    if "_mem_" in name:
        return f"{int(value) >> 20}MB"
    if "_runtime" in name:
        return f"{timedelta(seconds=int(value))}.{int(value % 1 * 100):02d}"
    if name == "total_flos":
        return f"{int(value) >> 30}GF"
    return round(value, 4) if isinstance(value, float) else value


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(as_tree(values), indent=4, sort_keys=True) + "\n")
