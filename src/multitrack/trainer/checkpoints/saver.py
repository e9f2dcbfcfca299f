"""Saving a checkpoint, in step with all processes, and deleting those that are too many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast_object_list

from multitrack.trainer.callbacks.exportable import export_states
from multitrack.trainer.checkpoints import atomic, store
from multitrack.trainer.checkpoints.folders import (
    STATE_FILE,
    checkpoint_folder,
    list_checkpoints,
    superseded,
)
from multitrack.trainer.checkpoints.weights import save_weights
from multitrack.trainer.data.signature import uncompiled

if TYPE_CHECKING:
    from multitrack.trainer.loop.progress import Progress
    from multitrack.trainer.trainer import Trainer


def save_checkpoint(trainer: Trainer, model: Any, progress: Progress) -> Path:
    """Save where training stands, and return the checkpoint's folder.

    The folder gets its name when all in it is on the disk. Then the checkpoints that are too
    many are deleted. Every process must call this.
    """
    folder = checkpoint_folder(trainer.output_dir, trainer.state.global_step)
    _note_best_checkpoint(trainer, folder)
    if trainer.args.should_save:
        atomic.begin(folder)
    trainer.accelerator.wait_for_everyone()
    _write_parts(trainer, model, progress, atomic.workplace_of(folder))
    trainer.accelerator.wait_for_everyone()
    if trainer.args.should_save:
        atomic.commit(folder)
    trainer.accelerator.wait_for_everyone()
    delete_superseded(trainer, folder)
    return folder


def save_model_files(trainer: Trainer, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write the model, and what prepares its inputs, to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(uncompiled(trainer.model), weights, folder)
    processing = trainer.processing_class
    if processing is None:
        processing = getattr(trainer.data_collator, "tokenizer", None)
    if callable(getattr(processing, "save_pretrained", None)):
        processing.save_pretrained(folder)
    (folder / "training_args.json").write_text(trainer.args.to_json_string() + "\n")


def delete_superseded(trainer: Trainer, newest: Path) -> None:
    """Delete the checkpoints beyond the limit, each after `on_checkpoint_delete`."""
    checkpoints = list_checkpoints(trainer.output_dir)
    best = trainer.state.best_model_checkpoint
    doomed = superseded(checkpoints, trainer.args.save_total_limit, best, newest)
    # All processes go by what the first one sees: another may look when a folder is gone already.
    for path in broadcast_object_list([doomed])[0]:
        trainer.fire("on_checkpoint_delete", checkpoint_dir=str(path))
        if trainer.args.should_save:
            atomic.remove(path)
    trainer.accelerator.wait_for_everyone()


def _write_parts(trainer: Trainer, model: Any, progress: Progress, folder: Path) -> None:
    args, accelerator = trainer.args, trainer.accelerator
    trainer.save_model(folder)
    if not args.save_only_model:
        optimizer = store.gather_optimizer(accelerator, model, trainer.optimizer)
        if args.should_save:
            torch.save(optimizer, folder / store.OPTIMIZER_FILE)
            torch.save(trainer.lr_scheduler.state_dict(), folder / store.SCHEDULER_FILE)
            if accelerator.scaler is not None:
                torch.save(accelerator.scaler.state_dict(), folder / store.SCALER_FILE)
        reporters = export_states(trainer.callback_handler.reporters)
        own = {**progress.state_dict(), "reporters": reporters}
        store.save_process(folder, args.process_index, args.world_size, own)
    if args.should_save:
        trainer.state.refresh_callbacks([*trainer.callback_handler.callbacks, trainer.control])
        trainer.state.save_to_json(folder / STATE_FILE)


def _note_best_checkpoint(trainer: Trainer, saved: Path) -> None:
    """Remember the path of the best checkpoint, if it is the one being saved or exists."""
    step = trainer.state.best_global_step
    if not step:
        return
    best = checkpoint_folder(trainer.output_dir, step)
    if best == saved or best.is_dir():
        trainer.state.best_model_checkpoint = str(best)
