"""TrainerControl: what callbacks ask of the training loop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from multitrack.trainer.callbacks.exportable import ExportableState


@dataclass
class TrainerControl(ExportableState):
    """Five switches that callbacks turn on and the loop acts on.

    The handler clears them just before it dispatches certain events; see
    `multitrack.trainer.callbacks.handler.RESETS`.

    Attributes:
        should_training_stop: end training after this micro-batch. Cleared when training begins.
        should_epoch_stop: end the epoch after this micro-batch. Cleared when an epoch begins.
        should_save: save a checkpoint after this step. Cleared by a save and by the next step.
        should_evaluate: evaluate after this step. Cleared by an evaluation and by the next step.
        should_log: log the loss after this step. Cleared by a log and by the next step.
    """

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False

    def state(self) -> dict[str, Any]:
        """Return the switches as constructor arguments."""
        return {"args": asdict(self), "attributes": {}}
