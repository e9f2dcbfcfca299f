"""The training loop: epochs, update steps, and what callbacks ask for after them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from multitrack.trainer.checkpoints import store
from multitrack.trainer.data.loaders import at_position
from multitrack.trainer.loop.best import best_metric_of, note_best_metric
from multitrack.trainer.loop.progress import Progress
from multitrack.trainer.loop.signals import Sigterm, TrainingInterrupted
from multitrack.trainer.optim.step import bare, clip_gradients, learning_rate_of, step_scheduler

if TYPE_CHECKING:
    from multitrack.trainer.trainer import Trainer

logger = logging.getLogger(__name__)


class TrainingLoop:
    """One run of the loop, from wherever the progress stands to the end.

    Args:
        trainer: what is trained, and who listens.
        model: the model as accelerate prepared it.
        loader: the training batches.
        progress: where training stands, and where it should come to.
        sigterm: notices that training should stop.
        checkpoint: what training goes on from, if it does.
    """

    def __init__(
        self,
        trainer: Trainer,
        model: Any,
        loader: Any,
        progress: Progress,
        sigterm: Sigterm,
        checkpoint: Path | None,
    ) -> None:
        self.trainer = trainer
        self.model = model
        self.loader = loader
        self.plan = progress.plan
        self.progress = progress
        self.sigterm = sigterm
        self.checkpoint = checkpoint
        self.saved_step: int | None = None

    def run(self) -> None:
        """Train until the plan is fulfilled or a callback stops it."""
        trainer, progress = self.trainer, self.progress
        trainer.fire("on_train_begin")
        if trainer.args.eval_on_start:
            trainer.evaluate_in_training()
        was_done = self._is_done
        if progress.epoch_is_over and (was_done or not progress.was_stopped):
            progress.begin_epoch(progress.epoch + 1)
        elif trainer.args.ignore_data_skip:
            progress.step = 0
        progress.was_stopped = False
        while progress.epoch < self.plan.epochs and (progress.step or not was_done):
            self._run_epoch()
            if trainer.control.should_training_stop:
                break
            progress.begin_epoch(progress.epoch + 1)

    @property
    def _is_done(self) -> bool:
        return self.trainer.state.global_step >= self.trainer.state.max_steps

    @property
    def _is_stopped(self) -> bool:
        control = self.trainer.control
        return control.should_epoch_stop or control.should_training_stop

    def _run_epoch(self) -> None:
        """Train an epoch, or what is left of the one that the checkpoint interrupted."""
        self.trainer.fire("on_epoch_begin")
        had_data = self.progress.step > 0
        if self.progress.step < self.plan.steps_per_epoch and not self._was_done_before:
            had_data |= self._run_steps()
        self._restore_generators()
        if not had_data:
            self._stop_without_data()
        self.trainer.fire("on_epoch_end")
        self._act_on_requests(epoch_is_over=True)

    @property
    def _was_done_before(self) -> bool:
        """Whether the checkpoint that training goes on from is that of its last step."""
        return self.checkpoint is not None and self._is_done

    def _run_steps(self) -> bool:
        """Do the steps of the epoch, and tell whether there was data for any."""
        progress = self.progress
        had_data = False
        if progress.step == 0:
            self._restore_generators()  # the loader's own random numbers come after the checkpoint
        batches = iter(
            at_position(self.loader, progress.epoch, progress.step * self.plan.accumulation)
        )
        for step in range(progress.step, self.plan.steps_per_epoch):
            group = _take(batches, self.plan.micro_batches(step))
            self._restore_generators()  # but those of the batches skipped were before it
            if not group:
                break
            had_data = True
            self._run_step(group)
            if self._is_stopped:
                control = self.trainer.control
                unfinished = progress.step < self.plan.steps_per_epoch
                progress.was_stopped = unfinished and not control.should_epoch_stop
                break
        return had_data

    def _restore_generators(self) -> None:
        """Set the random generators as the checkpoint has them, the first time."""
        if self.checkpoint is not None:
            args = self.trainer.args
            store.restore_generators(self.checkpoint, args.process_index, args.world_size)
            self.checkpoint = None

    def _run_step(self, group: list[Any]) -> None:
        trainer = self.trainer
        everywhere = trainer.args.average_tokens_across_devices
        items = trainer.count_items(group, everywhere=everywhere)
        trainer.accumulated = len(group)
        trainer.fire("on_step_begin")
        for inputs in group[:-1]:
            self._run_micro_batch(inputs, items, is_last=False)
            trainer.fire("on_substep_end")
            if self._is_stopped:
                return
        self._run_micro_batch(group[-1], items, is_last=True)
        self._update(len(group))

    def _run_micro_batch(self, inputs: Any, items: Any, *, is_last: bool) -> None:
        trainer = self.trainer
        accelerator = trainer.accelerator
        context = contextlib.nullcontext() if is_last else accelerator.no_sync(self.model)
        with context:
            loss = trainer.training_step(self.model, inputs, items)
        self.progress.meter.add(loss, trainer.state.global_step)
        trainer.work.add(inputs)

    def _update(self, micro_batches: int) -> None:
        """Step the optimizer and the scheduler, and do what is due after the step."""
        trainer = self.trainer
        accelerator, scheduler = trainer.accelerator, trainer.lr_scheduler
        norm = clip_gradients(accelerator, self.model, trainer.args.max_grad_norm)
        trainer.fire("on_pre_optimizer_step")
        bare(accelerator, trainer.optimizer).step()
        trainer.fire("on_optimizer_step")
        rate = learning_rate_of(trainer.optimizer, scheduler)
        step_scheduler(accelerator, scheduler)
        self.model.zero_grad()
        self._advance(micro_batches, norm, rate)
        trainer.fire("on_step_end")
        self._act_on_requests(epoch_is_over=False)
        self._stop_on_signal()

    def _advance(self, micro_batches: int, grad_norm: Any, learning_rate: float) -> None:
        progress, state = self.progress, self.trainer.state
        done = progress.step * self.plan.accumulation + micro_batches
        state.epoch = progress.epoch + done / self.plan.batches_per_epoch
        state.global_step += 1
        progress.step += 1
        progress.grad_norm, progress.learning_rate = grad_norm, learning_rate

    def _act_on_requests(self, *, epoch_is_over: bool) -> None:
        """Log, evaluate and save, in this order, as far as callbacks asked for it."""
        trainer, meter = self.trainer, self.progress.meter
        control = trainer.control
        self.sigterm.confer(control)
        is_asked = control.should_log or control.should_evaluate or control.should_save
        if is_asked:
            trainer.work.settle(trainer.state, trainer.accelerator)
        if control.should_log and trainer.state.global_step > meter.logged_step:
            self._log_loss()
        if trainer.control.should_evaluate:
            self._evaluate()
        self.progress.epoch_is_over = epoch_is_over
        if trainer.control.should_save:
            self._save()
        if is_asked:
            self.sigterm.confer(trainer.control)  # callbacks were called again, and may stop

    def _save(self) -> None:
        self.trainer.save_checkpoint(self.model, self.progress)
        self.saved_step = self.trainer.state.global_step

    def _log_loss(self) -> None:
        trainer, progress = self.trainer, self.progress
        logs = {"loss": progress.meter.take(trainer.accelerator, trainer.state.global_step)}
        if progress.grad_norm is not None:
            logs["grad_norm"] = float(progress.grad_norm)
        rate = progress.learning_rate
        if rate is None:
            rate = learning_rate_of(trainer.optimizer, trainer.lr_scheduler)
        trainer.log({**logs, "learning_rate": rate}, trainer.start_time)

    def _evaluate(self) -> None:
        trainer, args = self.trainer, self.trainer.args
        metrics = trainer.evaluate_in_training()
        if isinstance(trainer.lr_scheduler, ReduceLROnPlateau):
            trainer.lr_scheduler.step(best_metric_of(args, metrics))
        is_best = note_best_metric(args, trainer.state, metrics)
        if args.save_strategy == "best":
            trainer.control.should_save = is_best

    def _stop_on_signal(self) -> None:
        """Save and leave, if SIGTERM was received.

        Raises:
            TrainingInterrupted: it was.
        """
        if not self.sigterm.asks_to_stop():
            return
        step = self.trainer.state.global_step
        if self.trainer.args.save_strategy != "no" and self.saved_step != step:
            self._save()
        raise TrainingInterrupted(step)

    def _stop_without_data(self) -> None:
        logger.warning(
            "The training data gave no batch, so training stops at step %d of %d. A stream must "
            "be long enough, or begin anew at every epoch.",
            self.trainer.state.global_step,
            self.plan.max_steps,
        )
        self.trainer.control.should_training_stop = True


def _take(batches: Iterator[Any], count: int) -> list[Any]:
    """Return the next batches: fewer than asked for if they run out."""
    taken = [batch for _, batch in zip(range(count), batches, strict=False)]
    return [batch for batch in taken if batch is not None]  # older accelerate's for no data
