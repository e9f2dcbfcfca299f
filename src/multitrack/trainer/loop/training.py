"""The training loop: epochs, update steps, and what callbacks ask for after them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from multitrack.trainer.checkpoints import store
from multitrack.trainer.data.loaders import at_position
from multitrack.trainer.loop.best import best_metric_of, note_best_metric
from multitrack.trainer.loop.meter import LossMeter
from multitrack.trainer.loop.plan import Plan
from multitrack.trainer.loop.signals import Sigterm, TrainingInterrupted
from multitrack.trainer.optim.step import clip_gradients, learning_rate_of, step_scheduler

if TYPE_CHECKING:
    from multitrack.trainer.trainer import Trainer

logger = logging.getLogger(__name__)


@dataclass
class LastStep:
    """What the last update step leaves to be logged."""

    grad_norm: torch.Tensor | float | None = None
    learning_rate: float | None = None


class TrainingLoop:
    """One run of the loop, from wherever the state stands to the end.

    Args:
        trainer: what is trained, and who listens.
        model: the model as accelerate prepared it.
        loader: the training batches.
        plan: the length of the training.
        meter: sums the loss.
        sigterm: notices that training should stop.
        checkpoint: what training goes on from, if it does.
    """

    def __init__(
        self,
        trainer: Trainer,
        model: Any,
        loader: Any,
        plan: Plan,
        meter: LossMeter,
        sigterm: Sigterm,
        checkpoint: Path | None,
    ) -> None:
        self.trainer = trainer
        self.model = model
        self.loader = loader
        self.plan = plan
        self.meter = meter
        self.sigterm = sigterm
        self.checkpoint = checkpoint
        self.last = LastStep()

    def run(self) -> None:
        """Train until the plan is fulfilled or a callback stops it."""
        trainer, state = self.trainer, self.trainer.state
        trainer.fire("on_train_begin")
        if trainer.args.eval_on_start:
            trainer.evaluate()
        if state.global_step >= self.plan.max_steps:
            return
        first_epoch, first_step = self.plan.position(state.global_step)
        if trainer.args.ignore_data_skip:
            first_step = 0
        for epoch in range(first_epoch, self.plan.epochs):
            trainer.fire("on_epoch_begin")
            self._run_epoch(epoch, first_step if epoch == first_epoch else 0)
            if trainer.control.should_training_stop:
                break

    @property
    def _is_stopped(self) -> bool:
        control = self.trainer.control
        return control.should_epoch_stop or control.should_training_stop

    def _run_epoch(self, epoch: int, first_step: int) -> None:
        self.last = LastStep()
        batches = self._batches(epoch, first_step * self.plan.accumulation)
        trained = first_step > 0
        for step in range(first_step, self.plan.steps_per_epoch):
            group = _take(batches, self.plan.micro_batches(step))
            self._restore_generators()
            if not group:
                break
            trained = True
            self._run_step(epoch, step, group)
            if self._is_stopped:
                break
        if not trained:
            self._stop_without_data()
        self.trainer.fire("on_epoch_end")
        self._act_on_requests()

    def _batches(self, epoch: int, skipped: int) -> Iterator[Any]:
        return iter(at_position(self.loader, epoch, skipped))

    def _restore_generators(self) -> None:
        """Set the random generators as the checkpoint has them, once the data is in position."""
        if self.checkpoint is not None:
            args = self.trainer.args
            store.restore_generators(self.checkpoint, args.process_index, args.world_size)
            self.checkpoint = None

    def _run_step(self, epoch: int, step: int, group: list[Any]) -> None:
        trainer = self.trainer
        everywhere = trainer.args.average_tokens_across_devices
        items = trainer.count_items(group, everywhere=everywhere)
        trainer.accumulated = len(group)
        trainer.fire("on_step_begin")
        for index, inputs in enumerate(group):
            is_last = index == len(group) - 1
            self._run_micro_batch(inputs, items, is_last=is_last)
            if is_last:
                done = step * self.plan.accumulation + index + 1
                self._update(epoch + done / self.plan.batches_per_epoch)
            else:
                trainer.fire("on_substep_end")
            if self._is_stopped:
                break

    def _run_micro_batch(self, inputs: Any, items: Any, *, is_last: bool) -> None:
        trainer = self.trainer
        accelerator = trainer.accelerator
        context = contextlib.nullcontext() if is_last else accelerator.no_sync(self.model)
        with context:
            loss = trainer.training_step(self.model, inputs, items)
        self.meter.add(loss, trainer.state.global_step)
        trainer.work.add(inputs)

    def _update(self, epoch: float) -> None:
        """Step the optimizer and the scheduler, and do what is due after the step."""
        trainer = self.trainer
        accelerator, scheduler = trainer.accelerator, trainer.lr_scheduler
        self.last.grad_norm = clip_gradients(accelerator, self.model, trainer.args.max_grad_norm)
        trainer.fire("on_pre_optimizer_step")
        trainer.optimizer.step()
        trainer.fire("on_optimizer_step")
        self.last.learning_rate = learning_rate_of(trainer.optimizer, scheduler)
        step_scheduler(accelerator, scheduler)
        self.model.zero_grad()
        trainer.state.global_step += 1
        trainer.state.epoch = epoch
        trainer.fire("on_step_end")
        self._act_on_requests()
        self._stop_on_signal()

    def _act_on_requests(self) -> None:
        """Log, evaluate and save, in this order, as far as callbacks asked for it."""
        trainer = self.trainer
        control = trainer.control
        if control.should_log or control.should_evaluate or control.should_save:
            trainer.work.settle(trainer.state, trainer.accelerator)
        if control.should_log and trainer.state.global_step > self.meter.logged_step:
            self._log_loss()
        if trainer.control.should_evaluate:
            self._evaluate()
        if trainer.control.should_save:
            trainer.save_checkpoint(self.model, self.meter)

    def _log_loss(self) -> None:
        trainer = self.trainer
        logs = {"loss": self.meter.take(trainer.accelerator, trainer.state.global_step)}
        if self.last.grad_norm is not None:
            logs["grad_norm"] = float(self.last.grad_norm)
        rate = self.last.learning_rate
        if rate is None:
            rate = learning_rate_of(trainer.optimizer, trainer.lr_scheduler)
        trainer.log({**logs, "learning_rate": rate}, trainer.start_time)

    def _evaluate(self) -> None:
        trainer, args = self.trainer, self.trainer.args
        metrics = trainer.evaluate()
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
        if self.trainer.args.save_strategy != "no":
            self.trainer.save_checkpoint(self.model, self.meter)
        raise TrainingInterrupted(self.trainer.state.global_step)

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
    return [batch for _, batch in zip(range(count), batches, strict=False)]
