"""What each of two processes does for the tests of distributed training.

Each task works in a folder of its own, and writes down there what it saw.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule

from multitrack.trainer import Trainer, TrainerCallback, TrainingArguments, TrainingInterrupted

RANK = int(os.environ["RANK"])
FOLDER = Path()


def write(**found: Any) -> None:
    """Keep what this process found, for the test to read."""
    (FOLDER / f"found-{RANK}.json").write_text(json.dumps(found))


def trainer(*callbacks: Any, count: int = 13, **options: Any) -> Trainer:
    """Make a Trainer on this process."""
    defaults = {
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 4,
        "learning_rate": 0.05,
        "max_steps": 6,
        "logging_steps": 2,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    dropout = options.pop("dropout", 0.0)
    own = {n: options.pop(n) for n in ("compute_metrics", "train", "model") if n in options}
    return Trainer(
        own.get("model", tiny.TinyModel)(dropout=dropout),
        TrainingArguments(str(FOLDER / "out"), **{**defaults, **options}),
        train_dataset=own.get("train", tiny.samples(44)),
        eval_dataset=tiny.samples(count, seed=2),
        compute_metrics=own.get("compute_metrics"),
        callbacks=list(callbacks),
    )


def weights(of: Trainer) -> list[float]:
    """Return all weights as one list."""
    values: list[float] = torch.cat([p.flatten() for p in of.model.parameters()]).tolist()
    return values


def train() -> None:
    """Train, and show what each process has in the end."""
    recorder = tiny.Recorder()
    seen: list[Any] = []

    def compute(prediction: Any) -> dict[str, float]:
        seen.append([list(prediction.label_ids.shape), list(prediction.predictions.shape)])
        return {"mae": float(np.abs(prediction.predictions - prediction.label_ids).mean())}

    one = trainer(
        recorder,
        eval_strategy="steps",
        eval_steps=3,
        save_strategy="steps",
        save_steps=2,
        save_total_limit=2,
        gradient_accumulation_steps=2,
        compute_metrics=compute,
    )
    output = one.train()
    predicted = one.predict(tiny.samples(11, seed=5))
    write(
        weights=weights(one),
        history=[
            {k: v for k, v in row.items() if not k.endswith(("runtime", "per_second"))}
            for row in one.state.log_history
        ],
        loss=output.training_loss,
        events=recorder.events,
        shapes=seen,
        predictions=predicted.predictions.tolist(),
        labels=predicted.label_ids.tolist(),
        zero=[one.state.is_world_process_zero, one.state.is_local_process_zero],
        files=sorted(path.name for path in (FOLDER / "out").glob("*/*")),
        checkpoints=sorted(path.name for path in (FOLDER / "out").glob("checkpoint-*")),
    )


def evaluate() -> None:
    """Evaluate sets of every length around a whole number of batches."""
    found = {}
    for count in (1, 2, 7, 8, 9, 12, 16):
        one = trainer(count=count)
        found[str(count)] = [one.evaluate()["eval_loss"], len(one.predict(tiny.samples(count))[0])]
    write(losses=found)


def resume() -> None:
    """Train at one go, and again from a checkpoint."""
    options = {"dropout": 0.3, "logging_steps": 3, "save_strategy": "steps", "save_steps": 4}
    whole = trainer(max_steps=16, **options)
    whole.train()
    again = trainer(max_steps=16, **options)
    again.train(resume_from_checkpoint=FOLDER / "out" / "checkpoint-12")  # in the second epoch
    histories = [[r.get("loss") for r in t.state.log_history] for t in (whole, again)]
    write(whole=weights(whole), again=weights(again), histories=histories)


def grown() -> None:
    """Go on at the end of an epoch with a process more than the checkpoint knows."""
    options = {"save_strategy": "steps", "save_steps": 11, "ddp_timeout": 20}
    options |= {"logging_strategy": "epoch", "eval_strategy": "epoch"}
    trainer(max_steps=11, **options).train()
    if RANK == 0:
        for name in ("progress", "rng_state"):
            [path] = (FOLDER / "out" / "checkpoint-11").glob(f"{name}_1.*")
            path.unlink()
    torch.distributed.barrier()
    recorder = tiny.Recorder()
    one = trainer(recorder, max_steps=13, **options)
    one.train(resume_from_checkpoint=True)
    losses = [row["loss"] for row in one.state.log_history if "loss" in row]
    write(events=recorder.events, losses=losses)


def terminate() -> None:
    """Send SIGTERM to the second process alone."""

    class Terminates(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if RANK == 1 and state.global_step == 4:
                os.kill(os.getpid(), signal.SIGTERM)

    one = trainer(Terminates, max_steps=100, save_strategy="steps", save_steps=50)
    try:
        one.train()
    except TrainingInterrupted as interrupted:
        write(step=interrupted.step)


def impatient() -> None:
    """Let a process wait for the other longer than it may."""

    class Dawdles(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            time.sleep(4 * (RANK == 0))

    try:
        trainer(Dawdles, max_steps=4, save_strategy="steps", save_steps=2, ddp_timeout=2).train()
    except RuntimeError as error:
        write(error=str(error))


def disagree() -> None:
    """Let a callback of the first process alone end training."""

    class Stops(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop |= RANK == 0 and state.global_step == 3

    try:
        trainer(Stops, max_steps=100).train()
    except RuntimeError as error:
        write(error=str(error))


def tracked() -> None:
    """Train with a tracking callback on every process."""
    from multitrack import TrackingCallback

    callback = TrackingCallback(report_to="none")
    one = trainer(callback, eval_strategy="steps", eval_steps=3)
    one.train()
    write(run=None if callback.run is None else callback.run.id)


def every() -> None:
    """Report from every process to a tracker, and go on with all runs."""
    os.environ["NOTEBOOK_DIR"] = str(FOLDER / "notebooks")
    options = {"save_strategy": "steps", "save_steps": 4, "run_name": "digits"}
    options |= {"report_to": ["notebook"], "log_ranks": "all"}
    ids = []
    for steps in (4, 6):
        one = trainer(max_steps=steps, **options)
        one.train(resume_from_checkpoint=steps > 4)
        ids.append(one.callback_handler.reporters[0].run_id)
    write(ids=ids)


def stream() -> None:
    """Train and evaluate on a stream, which one process reads for all."""
    from torch.utils.data import IterableDataset

    class Stream(IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            return iter(tiny.samples(21, seed=2))

    one = trainer(train=Stream())
    output = one.train()
    metrics = one.evaluate(Stream())
    write(steps=output.global_step, loss=metrics["eval_loss"], weights=weights(one))


def compiled() -> None:
    """Train a compiled model with checkpoints, which must not take it apart."""
    options = {"save_strategy": "steps", "save_steps": 2}
    plain = trainer(**options)
    plain.train()
    one = trainer(torch_compile_backend="eager", **options)
    one.train()
    write(plain=weights(plain), compiled=weights(one))


@contextlib.contextmanager
def sharding_on_cpu() -> Iterator[None]:
    """Let accelerate take the CPU for a GPU: it shards on nothing else, though PyTorch does."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    join = PartialState.__init__

    def join_as_gpu(self: Any, *args: Any, **kwargs: Any) -> None:
        join(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = join_as_gpu
    try:
        yield
    finally:
        PartialState.__init__ = join


def whole_weights(of: Trainer) -> list[float]:
    """Return all weights of a sharded model as one list; every process must call this."""
    values = [parameter.full_tensor().flatten() for parameter in of.model.parameters()]
    flat: list[float] = torch.cat(values).tolist()
    return flat


class LikesStepFour(TrainerCallback):
    """Makes the middle of a training the best of it."""

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        kwargs["metrics"]["eval_score"] = -abs(state.global_step - 4)


class Layered(tiny.TinyModel):
    """Names its layers, as models of transformers do."""

    _no_split_modules = ("Linear",)


def shards(**options: Any) -> Trainer:
    """Make a Trainer that shards, and saves and evaluates every other step."""
    every = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 2, "save_steps": 2}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "score"}
    return trainer(LikesStepFour, model=Layered, fsdp=True, max_steps=8, **every, **best, **options)


def fsdp() -> None:
    """Do with a sharded model whatever a Trainer can do, in every order."""
    from multitrack.trainer.checkpoints import store

    read_files, read = [], store.read

    def note(path: Path) -> Any:
        read_files.append(path.name)
        return read(path)

    store.read = note
    found: dict[str, Any] = {}
    try:
        with sharding_on_cpu():
            one = shards(gradient_accumulation_steps=2)
            found["before"] = one.evaluate()["eval_loss"]
            found["shard"] = [p.to_local().numel() for p in one.model.parameters()]
            found["layers"] = [n for n, m in one.model.named_modules() if isinstance(m, FSDPModule)]
            found["predicted"] = one.predict(tiny.samples(11, seed=5)).predictions.tolist()
            found["loss"] = one.train().training_loss
            found["best"] = whole_weights(one)
            again = shards(gradient_accumulation_steps=2)
            again.evaluate()
            found["again"] = again.train(FOLDER / "out" / "checkpoint-4").training_loss
            found["read"] = list(read_files)
            found["evaluated"] = again.evaluate()["eval_loss"]
            found["second"] = again.train().training_loss
    finally:
        store.read = read
    write(**found)


def fsdp_stateless() -> None:
    """Go on with a sharded optimizer that has no state; make Trainers that do not shard."""
    with sharding_on_cpu():
        one = shards(optim="sgd")
        losses = [one.train().training_loss]
        again = shards(optim="sgd", fsdp_config={"activation_checkpointing": True})
        losses.append(again.train(FOLDER / "out" / "checkpoint-4").training_loss)
        plain = str(trainer().accelerator.distributed_type)
    try:
        shards()
    except ValueError as error:
        write(losses=losses, next=plain, refusal=str(error))


def fsdp_other_weights() -> None:
    """Go on with the checkpoint of a model with another layer, and of another width."""
    refusals = []
    with sharding_on_cpu():
        one = shards()
        one.train()
        for change in ({"more": nn.Linear(4, 4)}, {"head": nn.Linear(8, 3)}):
            other = shards()
            for name, layer in change.items():
                setattr(other.model, name, layer)
            try:
                other.train(FOLDER / "out" / "checkpoint-4")
            except ValueError as error:
                refusals.append(str(error))
    write(refusals=refusals)


faulthandler.dump_traceback_later(150, exit=True)  # a hang tells where it is, and ends
torch.set_num_threads(1)
for task in sys.argv[2:]:
    FOLDER = Path(sys.argv[1]) / task
    FOLDER.mkdir(exist_ok=True)
    globals()[task]()
