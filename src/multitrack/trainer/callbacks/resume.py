"""The state that training goes on from, brought into a new process."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from multitrack.trainer.callbacks.control import TrainerControl
from multitrack.trainer.callbacks.exportable import restore_states
from multitrack.trainer.callbacks.handler import CallbackHandler
from multitrack.trainer.callbacks.state import TrainerState
from multitrack.trainer.checkpoints import store
from multitrack.trainer.checkpoints.folders import STATE_FILE

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments

logger = logging.getLogger(__name__)


def load_state(
    checkpoint: Path, args: TrainingArguments, handler: CallbackHandler, control: TrainerControl
) -> TrainerState:
    """Return a checkpoint's state, and bring the states of callbacks back into them, in place.

    Reporters always get theirs, so that they go on with the run that they began; the others get
    theirs if ``restore_callback_states_from_checkpoint`` says so. The checkpoint's states are those
    of the first process; reporters of another one get what that process kept of its own.
    """
    state = TrainerState.load_from_json(checkpoint / STATE_FILE)
    restore_all = args.restore_callback_states_from_checkpoint
    callbacks = [*handler.callbacks, control] if restore_all else handler.reporters
    unused = restore_states(callbacks, state.stateful_callbacks)
    own = store.read_progress(checkpoint, args.process_index, args.world_size)
    restore_states(handler.reporters, own.get("reporters", {}))
    if restore_all and unused:
        logger.warning(
            "The checkpoint has states of callbacks that this Trainer does not have, or has fewer "
            "of: %s. They are ignored.",
            ", ".join(unused),
        )
    _forget_missing_best(state)
    return state


def _forget_missing_best(state: TrainerState) -> None:
    best = state.best_model_checkpoint
    if best is not None and not Path(best).is_dir():
        logger.warning("The best checkpoint, %s, does not exist any more.", best)
        state.best_model_checkpoint = None
