"""Trainer: trains a model, and tells callbacks what happens."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from torch import nn

from multitrack.trainer.absent import AbsentAttributes, check_hooks, check_parameters, check_trial
from multitrack.trainer.arguments import TrainingArguments
from multitrack.trainer.callbacks.control import TrainerControl
from multitrack.trainer.callbacks.defaults import build_handler
from multitrack.trainer.callbacks.resume import load_state
from multitrack.trainer.callbacks.state import TrainerState
from multitrack.trainer.checkpoints import saver, store
from multitrack.trainer.checkpoints.atomic import sweep
from multitrack.trainer.checkpoints.differences import warn_of_differences
from multitrack.trainer.checkpoints.folders import find_checkpoint
from multitrack.trainer.checks import check_trainer
from multitrack.trainer.data.collate import Collator, choose_collator
from multitrack.trainer.data.signature import Signature, uncompiled
from multitrack.trainer.engine import seed_all, set_up_accelerator, take_back_accelerator
from multitrack.trainer.loop.evaluation import EvaluationLoop, Outcome
from multitrack.trainer.loop.losses import LossFunction
from multitrack.trainer.loop.memory import MemoryMeter
from multitrack.trainer.loop.plan import Plan, make_plan
from multitrack.trainer.loop.prepare import (
    begin_progress,
    enable_gradient_checkpointing,
    prepare_evaluation,
    prepare_training,
    stays_prepared,
)
from multitrack.trainer.loop.progress import Progress
from multitrack.trainer.loop.signals import Sigterm
from multitrack.trainer.loop.speed import speed_metrics
from multitrack.trainer.loop.training import TrainingLoop
from multitrack.trainer.loop.work import WorkCounter
from multitrack.trainer.outputs import EvalPrediction, PredictionOutput, TrainOutput
from multitrack.trainer.parts import TrainerParts
from multitrack.trainer.questions import Questions
from multitrack.trainer.results import Results
from multitrack.trainer.values import plain_numbers


class Trainer(TrainerParts, Results, Questions, AbsentAttributes):
    """Trains a PyTorch model, on one device or many, and reports to callbacks and trackers.

    Its constructor, methods and callbacks are those of Hugging Face's Trainer.

    Args:
        model: any module whose forward takes the values of a batch by name. It returns a dict
            with ``"loss"``, or a tuple that begins with the loss; or any output, from which
            `compute_loss_func` makes the loss.
        args: what the training is told.
        data_collator: makes a batch of a list of samples.
        train_dataset: the training samples: a dict of named values each.
        eval_dataset: the evaluation samples, or a dict of several such sets by name.
        processing_class: a tokenizer or the like: pads batches, is saved with the model.
        compute_loss_func: gets the model's outputs and the batch's ``labels``, and by keyword
            ``num_items_in_batch`` if it takes that, and returns the loss. If it takes the
            number of items, it must divide by it.
        compute_metrics: gets an `EvalPrediction` and returns metrics by name.
        callbacks: callbacks, or classes of them.
        optimizers: an optimizer and a scheduler to use in place of those that `args` name.
        preprocess_logits_for_metrics: gets logits and labels of a batch and returns what is
            kept of the logits.
        absent: parameters of transformers' Trainer that ours has not, such as `model_init`: None,
            which asks for nothing, may be given; else what to do without it is told.

    Raises:
        TypeError: the model or the arguments are something else.
        ValueError: the arguments ask for what the machine, the model or the data do not allow.

    Example:
        ```python
        args = TrainingArguments("out", max_steps=100, report_to=["tensorboard"])
        trainer = Trainer(model, args, train_dataset=train, eval_dataset=test)
        trainer.train()
        print(trainer.evaluate())
        ```
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_hooks(cls)

    def __init__(
        self,
        model: nn.Module | None = None,
        args: TrainingArguments | None = None,
        data_collator: Collator | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        *,
        compute_loss_func: LossFunction | None = None,
        compute_metrics: Callable[[EvalPrediction], Mapping[str, Any]] | None = None,
        callbacks: list[Any] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        preprocess_logits_for_metrics: Callable[[Any, Any], Any] | None = None,
        **absent: NoReturn,  # so that type checkers find misspelt ones
    ) -> None:
        check_parameters(absent)
        args = TrainingArguments() if args is None else args
        check_trainer(model, args, train_dataset, eval_dataset, optimizers)
        self.args = args
        self.model = cast("nn.Module", model)
        self.output_dir = Path(str(args.output_dir))
        self.train_dataset = train_dataset
        self.eval_dataset = eval_dataset
        self.processing_class = processing_class
        self.compute_loss_func = compute_loss_func
        self.compute_metrics = compute_metrics
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self.optimizer, self.lr_scheduler = optimizers
        self._owns_scheduler = self.lr_scheduler is None
        self._kept_loaders = {}
        self._ignored_in_training: list[str] | None = None
        self.is_in_train = False
        self.accumulated = 1
        self.start_time = 0.0
        self._first_step = self._first_tokens = 0
        self.data_collator = choose_collator(data_collator, processing_class)
        self.signature = Signature(
            self.model, args.label_names, has_loss_function=compute_loss_func is not None
        )
        self.model_accepts_loss_kwargs = self.signature.accepts_loss_kwargs
        with MemoryMeter("init", enabled=not args.skip_memory_metrics) as memory:
            self._set_up_process()
        self._memory: dict[str, int] = memory.metrics
        self._set_up_callbacks(callbacks)

    def _set_up_process(self) -> None:
        seed_all(self.args)
        set_up_accelerator(self)
        if self.args.gradient_checkpointing:
            enable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs)
        config = getattr(self.model, "config", None)
        if config is not None and hasattr(config, "use_cache"):
            config.use_cache = self.args.use_cache
        if not store.is_sharded(self.accelerator):
            self.model.to(self.args.device)
        self.work = WorkCounter(
            self.model,
            tokens=str(self.args.include_num_input_tokens_seen),
            main_input=self.signature.main_input,
            pad_token=getattr(self.processing_class, "pad_token_id", None),
            device=self.args.device,
        )
        if self.args.should_save:
            self.output_dir.mkdir(parents=True, exist_ok=True)

    def _set_up_callbacks(self, callbacks: list[Any] | None) -> None:
        self.callback_handler = build_handler(
            self.args,
            callbacks,
            model=self.model,
            processing_class=self.processing_class,
            optimizer=self.optimizer,
            lr_scheduler=self.lr_scheduler,
        )
        self.control = TrainerControl()
        self.state = self._new_state()
        self.fire("on_init_end")

    # Callbacks

    def add_callback(self, callback: Any) -> None:
        """Add a callback, or a class of one."""
        self.callback_handler.add_callback(callback)

    def pop_callback(self, callback: Any) -> Any | None:
        """Remove a callback, or the first of a class, and return it; None if there is none."""
        return self.callback_handler.pop_callback(callback)

    def remove_callback(self, callback: Any) -> None:
        """Remove a callback, or the first of a class.

        Raises:
            ValueError: a callback was given, not a class, and the Trainer does not have it.
        """
        self.callback_handler.remove_callback(callback)

    def fire(self, event: str, **payload: Any) -> None:
        """Call an event of all callbacks."""
        self.control = self.callback_handler.call_event(
            event, self.args, self.state, self.control, **payload
        )

    def is_world_process_zero(self) -> bool:
        """Tell whether this process is the first of all."""
        return self.args.process_index == 0

    def is_local_process_zero(self) -> bool:
        """Tell whether this process is the first of its machine."""
        return self.args.local_process_index == 0

    @property
    def is_fsdp_enabled(self) -> bool:
        """Whether model and optimizer are sharded."""
        return store.is_sharded(self.accelerator)

    # Training

    def train(
        self,
        resume_from_checkpoint: str | Path | bool | None = None,
        trial: None = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Train, and return the steps done, the mean loss and the summary.

        SIGTERM ends training after the step in progress: a checkpoint is saved (unless
        ``save_strategy="no"``), then `TrainingInterrupted` is raised. If no step is left, it ends
        the process when training is over. Whatever exception ends training, callbacks get
        `on_exception` before it is raised.

        Args:
            resume_from_checkpoint: path of the checkpoint to go on from; True for the newest of
                the output folder; None for what `args.resume_from_checkpoint` says.
            trial: None, which scripts of transformers may pass: there is no search.
            ignore_keys_for_eval: outputs of the model that evaluations during training leave out.

        Raises:
            TypeError: a trial was given; the message says what to do.
            ValueError: there is no such checkpoint, or it does not fit.
            TrainingInterrupted: SIGTERM was received.
        """
        check_trial(trial)
        take_back_accelerator(self)
        self._ignored_in_training = ignore_keys_for_eval
        source = resume_from_checkpoint
        source = self.args.resume_from_checkpoint if source is None else source
        self.is_in_train = True
        try:
            checkpoint = find_checkpoint(source, self.output_dir) if source else None
            with Sigterm(self.accelerator, self.args.ddp_timeout) as sigterm:
                return self._train(checkpoint, sigterm)
        except BaseException as error:
            self.callback_handler.call_exception(error, self.args, self.state, self.control)
            raise
        finally:
            self.is_in_train = False
            self._release_model()

    def _train(self, checkpoint: Path | None, sigterm: Sigterm) -> TrainOutput:
        with MemoryMeter("train", enabled=not self.args.skip_memory_metrics) as memory:
            if not stays_prepared(self):
                self.accelerator.free_memory()
            # Accelerators of a process share this: another training may have left it off.
            self.accelerator.sync_gradients = True
            loader = self.get_train_dataloader()
            plan = make_plan(self.args, loader)
            self._begin_state(plan, checkpoint)
            model = prepare_training(self, plan.max_steps, checkpoint)
            progress = begin_progress(self, plan, checkpoint)
            self._refresh_references(loader)
            self.start_time = time.time()
            self._first_step = self.state.global_step
            self._first_tokens = self.state.num_input_tokens_seen
            model.zero_grad()
            TrainingLoop(self, model, loader, progress, sigterm, checkpoint).run()
            return self._finish(progress, memory)

    def _begin_state(self, plan: Plan, checkpoint: Path | None) -> None:
        self.state = self._new_state()
        if checkpoint is not None:
            self.state = load_state(checkpoint, self.args, self.callback_handler, self.control)
        before = dataclasses.replace(self.state)
        self.state.max_steps = plan.max_steps
        self.state.num_train_epochs = plan.epochs
        self.state.train_batch_size = self.args.train_batch_size
        self.state.is_local_process_zero = self.is_local_process_zero()
        self.state.is_world_process_zero = self.is_world_process_zero()
        self.state.compute_steps(self.args, plan.max_steps)
        if checkpoint is not None and self.is_world_process_zero():
            warn_of_differences(checkpoint, before, self.state, self.args)
        if self.args.should_save:
            sweep(self.output_dir)

    def _new_state(self) -> TrainerState:
        return TrainerState(
            is_local_process_zero=self.is_local_process_zero(),
            is_world_process_zero=self.is_world_process_zero(),
            stateful_callbacks=[*self.callback_handler.callbacks, self.control],
        )

    def _refresh_references(self, loader: Any) -> None:
        handler = self.callback_handler
        handler.model, handler.train_dataloader = self.model, loader
        handler.optimizer, handler.lr_scheduler = self.optimizer, self.lr_scheduler

    def _finish(self, progress: Progress, memory: MemoryMeter) -> TrainOutput:
        self.work.settle(self.state, self.accelerator)
        loss = progress.meter.finish(self.accelerator, self.state.global_step)
        steps = self.state.global_step - self._first_step
        samples = progress.plan.samples * steps / max(progress.plan.max_steps, 1)
        metrics: dict[str, Any] = speed_metrics(
            "train", self.start_time, samples=samples, steps=steps
        )
        metrics |= {"total_flos": self.state.total_flos, "train_loss": loss}
        metrics |= self._take_memory(memory)
        self.log(metrics)
        self._keep_best_model()
        self.fire("on_train_end")
        return TrainOutput(self.state.global_step, loss, metrics)

    def _release_model(self) -> None:
        """Take precision and compilation off the user's model: they belong to this training.

        With accelerate's mark on it, the next training would get neither of its own.
        """
        if store.is_shard(self.model):
            return  # it stays prepared, and the next training goes on with it
        model = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        vars(uncompiled(model)).pop("_is_accelerate_prepared", None)

    def _keep_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if best is None:
            return
        if self.args.load_best_model_at_end:
            store.load_model(self.accelerator, self.model, Path(best))
        if self.args.save_total_limit == 1:
            saver.delete_superseded(self, Path(best))

    # Evaluation and prediction

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, Any]:
        """Evaluate, log the metrics, and return them.

        Args:
            eval_dataset: the samples, or a dict of several sets by name, which are evaluated one
                after the other as ``<prefix>_<name>``; or the name of one of the Trainer's own
                sets; the Trainer's own, one or all, if None.
            ignore_keys: outputs of the model that are left out.
            metric_key_prefix: the first part of the metrics' names.

        Raises:
            ValueError: there is no data.
        """
        take_back_accelerator(self)
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(dataset, dict):
            metrics: dict[str, Any] = {}
            for name, part in dataset.items():
                # Own sets go by name, which a get_eval_dataloader of the user's may tell them by.
                given = name if eval_dataset is None and isinstance(name, str) else part
                metrics |= self.evaluate(given, ignore_keys, f"{metric_key_prefix}_{name}")
            return metrics
        loss_only = self.compute_metrics is None or self.args.prediction_loss_only
        loader = self.get_eval_dataloader(dataset)
        outcome = self._evaluate(loader, metric_key_prefix, ignore_keys, loss_only=loss_only)
        self.log(outcome.metrics)
        self.fire("on_evaluate", metrics=outcome.metrics)
        return outcome.metrics

    def evaluate_in_training(self) -> dict[str, Any]:
        """Evaluate as `train` was told to, and return the metrics."""
        keys = self._ignored_in_training
        return self.evaluate() if keys is None else self.evaluate(ignore_keys=keys)

    def predict(
        self,
        test_dataset: Any,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "test",
    ) -> PredictionOutput:
        """Return the model's outputs for all samples, the labels, and metrics.

        The metrics go to `on_predict`; they are not logged.

        Args:
            test_dataset: the samples, or the name of one of the Trainer's evaluation sets.
            ignore_keys: outputs of the model that are left out.
            metric_key_prefix: the first part of the metrics' names.
        """
        take_back_accelerator(self)
        outcome = self._evaluate(
            self.get_test_dataloader(test_dataset),
            metric_key_prefix,
            ignore_keys,
            loss_only=self.args.prediction_loss_only,
        )
        self.fire("on_predict", metrics=outcome.metrics)
        return PredictionOutput(outcome.predictions, outcome.label_ids, outcome.metrics)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str = "",
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Outcome:
        """Return predictions, labels and metrics of all batches, and the number of samples.

        Args:
            dataloader: the batches.
            description: what is done; for the reader.
            prediction_loss_only: whether outputs and labels are of no interest; what the
                arguments say if None.
            ignore_keys: outputs of the model that are left out.
            metric_key_prefix: the first part of the metrics' names.
        """
        loss_only = prediction_loss_only
        prepare_evaluation(self)
        return EvaluationLoop(
            self,
            self.model,
            dataloader,
            prefix=metric_key_prefix,
            loss_only=self.args.prediction_loss_only if loss_only is None else loss_only,
            ignore_keys=ignore_keys,
        ).run()

    def _evaluate(
        self, loader: Any, prefix: str, ignore_keys: list[str] | None, *, loss_only: bool
    ) -> Outcome:
        start_time = time.time()
        with MemoryMeter(prefix, enabled=not self.args.skip_memory_metrics) as memory:
            outcome = self.evaluation_loop(
                loader,
                prefix,
                prediction_loss_only=loss_only,
                ignore_keys=ignore_keys,
                metric_key_prefix=prefix,
            )
        per_step = self.args.eval_batch_size * self.args.world_size
        steps = math.ceil(outcome.num_samples / per_step)
        outcome.metrics.update(
            speed_metrics(prefix, start_time, samples=outcome.num_samples, steps=steps)
        )
        outcome.metrics.update(self._take_memory(memory))
        plain_numbers(outcome.metrics)
        return outcome

    # Logging and saving

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """Log values: to the state's history, to callbacks and, through them, to trackers.

        The dict gets the epoch, and what callbacks add to it; what they remove from it is put
        back afterwards.

        Args:
            logs: values by name.
            start_time: when training began, from ``time.time()``, to add throughput in tokens.
        """
        logs["epoch"] = self.state.epoch
        if self.work.tokens != "no":
            self._add_tokens(logs, start_time)
        plain_numbers(logs)
        row = {**logs, "step": self.state.global_step}
        self.state.log_history.append(row)
        self.fire("on_log", logs=logs)
        plain_numbers(logs)
        row.update({name: value for name, value in logs.items() if name != "step"})
        for name, value in row.items():
            if name != "step":
                logs.setdefault(name, value)

    def _add_tokens(self, logs: dict[str, Any], start_time: float | None) -> None:
        tokens = self.state.num_input_tokens_seen
        logs["num_input_tokens_seen"] = tokens
        if start_time is not None:
            logs.update(speed_metrics("train", start_time, tokens=tokens - self._first_tokens))

    def save_model(
        self, output_dir: str | Path | None = None, _internal_call: bool = False
    ) -> None:
        """Write the model, its processing class and the arguments to a folder.

        Checkpoints are saved with it, too. Every process must call it.

        Args:
            output_dir: the folder; that of the arguments if None.
        """
        weights = store.gather_weights(self.accelerator, self.model)
        if self.args.should_save:
            self._save(output_dir, weights)
        self.accelerator.wait_for_everyone()

    def _save(
        self, output_dir: str | Path | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        """Write the model with the given weights, or its own; scripts know this by its name."""
        weights = uncompiled(self.model).state_dict() if state_dict is None else state_dict
        saver.save_model_files(self, weights, Path(output_dir or self.output_dir))

    def save_checkpoint(self, model: Any, progress: Progress) -> None:
        """Save where training stands, and tell callbacks."""
        self.work.settle(self.state, self.accelerator)
        folder = saver.save_checkpoint(self, model, progress)
        self.fire("on_save", checkpoint_dir=str(folder))

    def _take_memory(self, memory: MemoryMeter) -> dict[str, int]:
        taken, self._memory = self._memory | memory.stop(), {}
        return taken
