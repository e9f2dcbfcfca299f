"""The parts of a training that a subclass may replace: data, optimizer, and the acts of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import nn

from multitrack.trainer.arguments import TrainingArguments
from multitrack.trainer.data.collate import Collator, ColumnFilter
from multitrack.trainer.data.loaders import eval_loader, train_loader
from multitrack.trainer.data.sets import chosen_set
from multitrack.trainer.data.signature import Signature
from multitrack.trainer.loop import losses
from multitrack.trainer.optim.optimizers import (
    choose_optimizer,
    create_optimizer,
    decayed_names,
)
from multitrack.trainer.optim.schedules import create_scheduler
from multitrack.trainer.optim.step import backward, bare


class TrainerParts:
    """What `Trainer` does in a way of its own, and another trainer might do otherwise.

    Attributes:
        args: what the training is told.
        model: the model without wrappers.
        accelerator: knows the device, the precision and the other processes.
        signature: what the model's forward takes.
        optimizer: the optimizer, once there is one.
        lr_scheduler: the scheduler, once there is one.
        accumulated: micro-batches in the step in progress.
        model_accepts_loss_kwargs: whether the model's own loss divides by the number of labels in
            the whole step; a subclass whose loss does not sets it to False.
        loss_is_scaled_for_ga: whether `compute_loss` returns a part of the whole step's loss, as a
            subclass may say; None: if it gets the number of labels in the step.
    """

    args: TrainingArguments
    model: nn.Module
    accelerator: Accelerator
    signature: Signature
    train_dataset: Any
    eval_dataset: Any
    data_collator: Collator
    compute_loss_func: losses.LossFunction | None
    optimizer: Any
    lr_scheduler: Any
    accumulated: int
    model_accepts_loss_kwargs: bool
    loss_is_scaled_for_ga: bool | None = None
    _owns_scheduler: bool
    _kept_loaders: dict[int, Any]

    # Data

    def get_train_dataloader(self) -> Any:
        """Return the loader of training batches; override it for one of your own.

        What ``self.accelerator.prepare`` makes of a loader is shared out among all processes, and
        brings its batches to the device.

        Raises:
            ValueError: there is no training data.
        """
        if self.train_dataset is None:
            raise ValueError("Trainer: training requires a train_dataset")
        if isinstance(self.train_dataset, Sized) and not len(self.train_dataset):
            raise ValueError("Trainer: the train_dataset has no samples")
        return train_loader(self.train_dataset, self.args, self._collator(), self.accelerator)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """Return the loader of evaluation batches.

        Args:
            eval_dataset: the samples, or the name of one of the Trainer's own sets; the Trainer's
                only one if None.

        Raises:
            ValueError: there is no evaluation data, none of that name, or there are several.
        """
        dataset = chosen_set(self.eval_dataset, eval_dataset)
        if self.args.dataloader_persistent_workers and self._is_own(dataset):
            return self._kept_loader(dataset)
        return eval_loader(dataset, self.args, self._collator(), self.accelerator)

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        """Return the loader of batches to predict.

        Args:
            test_dataset: the samples, or the name of one of the Trainer's evaluation sets.

        Raises:
            ValueError: there is none of that name, or there are several.
        """
        dataset = chosen_set(self.eval_dataset, test_dataset)
        return eval_loader(dataset, self.args, self._collator(), self.accelerator)

    def _is_own(self, dataset: Any) -> bool:
        own = self.eval_dataset
        return any(dataset is one for one in (own.values() if isinstance(own, dict) else [own]))

    def _kept_loader(self, dataset: Any) -> Any:
        """Return the one loader of an evaluation set, whose workers stay for the next time."""
        key = id(dataset)  # of no other one, as long as the loader is kept
        if key not in self._kept_loaders:
            self._kept_loaders[key] = eval_loader(
                dataset, self.args, self._collator(), self.accelerator, is_kept=True
            )
        return self._kept_loaders[key]

    def _collator(self) -> Collator:
        if self.args.remove_unused_columns and self.signature.names_inputs:
            return ColumnFilter(self.data_collator, self.signature.columns)
        return self.data_collator

    # Optimizer and scheduler

    def create_optimizer(self, model: nn.Module | None = None) -> Any:
        """Return the optimizer, made from the arguments if there is none yet.

        Args:
            model: whose parameters it changes; the Trainer's own if None.
        """
        if self.optimizer is None:
            self.optimizer = create_optimizer(model or self.model, self.args)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return the scheduler, made from the arguments unless the user gave one.

        Args:
            num_training_steps: update steps of the whole training.
            optimizer: whose learning rate it changes; the Trainer's own if None.
        """
        if self._owns_scheduler:
            # The one whose step is called.
            optimizer = bare(self.accelerator, optimizer or self.optimizer)
            self.lr_scheduler = create_scheduler(optimizer, self.args, num_training_steps)
        return self.lr_scheduler

    @staticmethod
    def get_optimizer_cls_and_kwargs(
        args: TrainingArguments,
        model: nn.Module | None = None,  # noqa: ARG004 - scripts pass it
    ) -> tuple[Any, dict[str, Any]]:
        """Return the class of the optimizer that the arguments name, and what it is made with."""
        return choose_optimizer(args)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Return the names of the parameters with weight decay."""
        return list(decayed_names(model))

    # Steps

    @property
    def label_names(self) -> list[str]:
        """The inputs that are labels."""
        return self.signature.label_names

    @property
    def current_gradient_accumulation_steps(self) -> int:
        """Micro-batches in the step in progress: what a loss that is a mean is divided by."""
        return self.accumulated

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Do the forward and backward pass of a micro-batch, and return its part of the loss.

        Args:
            model: the prepared model.
            inputs: the micro-batch, on the device.
            num_items_in_batch: labels that count in the whole step, if the loss divides by it.
        """
        model.train()
        inputs = self._prepare_inputs(inputs)
        loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        is_part = self.loss_is_scaled_for_ga
        if self.accumulated > 1 and not (
            num_items_in_batch is not None if is_part is None else is_part
        ):
            loss = loss / self.accumulated
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.args.world_size  # the gradients of all devices are averaged
        backward(self.accelerator, loss)
        return loss.detach()

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the loss of a batch; override it for a loss of your own.

        Args:
            model: the model to call.
            inputs: the batch.
            return_outputs: whether to return the pair of loss and outputs.
            num_items_in_batch: labels that count in the whole step; None for a mean of the
                batch alone.

        Raises:
            TypeError: the batch has no names.
            ValueError: the outputs hold no loss.
        """
        check_batch(inputs)
        extra = {} if num_items_in_batch is None else {"num_items_in_batch": num_items_in_batch}
        if self.compute_loss_func is None:
            if self.model_accepts_loss_kwargs:
                inputs = {**inputs, **extra}
            outputs = model(**inputs)
            loss = losses.loss_of(outputs, inputs)
        else:
            inputs = dict(inputs)
            labels = inputs.pop("labels", None)
            outputs = model(**inputs)
            loss = self.compute_loss_func(outputs, labels, **extra)
        return (loss, outputs) if return_outputs else loss

    def compute_loss_context_manager(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass that the prepared model does not bring itself."""
        context: AbstractContextManager[Any] = self.accelerator.autocast()
        return context

    def _prepare_inputs(self, inputs: Any) -> Any:
        """Return the batch on the device, where a loader of the user's own need not bring it."""
        device = self.accelerator.device
        if device.type == "cpu":
            return inputs
        if isinstance(inputs, Mapping) and all(
            _lies_on(device, value) for value in inputs.values()
        ):
            return inputs  # the usual case first: this is done for every batch
        return send_to_device(inputs, device)

    def count_items(self, batches: list[Any], *, everywhere: bool) -> Any:
        """Return how many labels count in micro-batches; None if no loss divides by it.

        Args:
            batches: the micro-batches.
            everywhere: whether to count those of all processes together.
        """
        function = self.compute_loss_func
        if function is None and not self.model_accepts_loss_kwargs:
            return None
        if function is not None and not losses.takes_item_count(function):
            return None
        items = losses.count_items(batches, shifts_labels=self.signature.shifts_labels)
        if items is None or not everywhere:
            return items
        return self.accelerator.gather(items.to(self.args.device)).sum()

    def prediction_step(
        self,
        model: Any,
        inputs: Any,
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Any, Any, Any]:
        """Return loss, outputs and labels of a batch, each None if there is none or no need.

        Args:
            model: the model, in evaluation mode.
            inputs: the batch, on the device.
            prediction_loss_only: whether outputs and labels are of no interest.
            ignore_keys: outputs that are left out; None for those that the model's
                configuration names.
        """
        check_batch(inputs)
        inputs = self._prepare_inputs(inputs)
        names = self.signature.label_names
        has_labels = bool(names) and all(inputs.get(name) is not None for name in names)
        if ignore_keys is None:
            ignore_keys = losses.ignored_outputs(self.model)
        labels = tuple(inputs[name] for name in names) if has_labels else None
        loss = None
        with torch.no_grad(), self.compute_loss_context_manager():
            if has_labels:
                items = self.count_items([inputs], everywhere=False)
                loss, outputs = self.compute_loss(
                    model, inputs, return_outputs=True, num_items_in_batch=items
                )
                loss = loss.detach().mean()
            else:
                outputs = model(**inputs)
        if prediction_loss_only:
            return loss, None, None
        logits = losses.logits_of(outputs, ignore_keys, with_loss=has_labels)
        return loss, logits, labels[0] if labels is not None and len(labels) == 1 else labels


def _lies_on(device: torch.device, value: Any) -> bool:
    """Tell whether a value of a batch is no tensor, or one on a device, whose index may be open."""
    if not isinstance(value, torch.Tensor):
        return not isinstance(value, Mapping | list | tuple)
    return value.device.type == device.type and device.index in {None, value.device.index}


def check_batch(inputs: Any) -> None:
    """Refuse a batch whose values have no names.

    Raises:
        TypeError: it is no mapping.
    """
    if not isinstance(inputs, Mapping):
        raise TypeError(
            f"a batch must be a dict of named values, the arguments of the model's forward, not "
            f"{type(inputs).__name__}; pass a data_collator that returns one"
        )
