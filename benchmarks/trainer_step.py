"""What a training loop costs beside the step itself: ours, and others, beside a loop by hand.

    python benchmarks/trainer_step.py

Every loop trains the same network on the same samples, with the same collation, optimizer, clipping
and schedule, and shows the mean loss every ten steps. Rounds alternate between the loops, all in
one process, so that the machine's moods hit them alike. The model notes when each of its forward
passes begins; the time between the first and the last, which leaves out how a loop is set up, is
divided by the steps. Loops whose library is not installed are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import io
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from machine import spread, write_results
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, default_collate

BATCH, INPUTS, WIDTH, CLASSES = 32, 64, 256, 10
LOG_EVERY = 10
EPOCHS = 2
MAX_NORM = 1.0


class Classifier(nn.Module):
    """A network whose step takes about a millisecond, and which notes when each begins."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(INPUTS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        )
        self.head = nn.Linear(WIDTH, CLASSES)
        self.begun: list[float] = []

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return loss and logits."""
        self.begun.append(time.perf_counter())
        logits = self.head(self.layers(inputs))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Setting:
    """What all loops share; every loop gets a new one, and they are equal."""

    def __init__(self, steps: int) -> None:
        torch.manual_seed(0)
        self.steps = steps
        self.model = Classifier()
        count = BATCH * steps // EPOCHS
        features, labels = torch.randn(count, INPUTS), torch.randint(CLASSES, (count,))
        self.samples = [
            {"inputs": row, "labels": label} for row, label in zip(features, labels, strict=True)
        ]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.scheduler = LambdaLR(self.optimizer, lambda step: 1.0 - step / steps)

    def loader(self) -> DataLoader:
        """Return the batches, as the Trainers make them too."""
        return DataLoader(self.samples, BATCH, shuffle=True, collate_fn=default_collate)

    def arguments(self) -> dict[str, object]:
        """Return the arguments that transformers' Trainer and ours have in common."""
        return {
            "output_dir": tempfile.mkdtemp(),
            "max_steps": self.steps,
            "per_device_train_batch_size": BATCH,
            "max_grad_norm": MAX_NORM,
            "logging_steps": LOG_EVERY,
            "save_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": True,
            "report_to": "none",
        }


def by_hand(setting: Setting) -> None:
    """Train with PyTorch alone."""
    model, optimizer, scheduler = setting.model, setting.optimizer, setting.scheduler
    loader, step, total = setting.loader(), 0, torch.zeros(())
    model.train()
    for _ in range(EPOCHS):
        for batch in loader:
            loss = model(**batch)["loss"]
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            step, total = step + 1, total + loss.detach()
            if step % LOG_EVERY == 0:
                print({"loss": total.item() / LOG_EVERY, "step": step})
                total.zero_()


def with_accelerate(setting: Setting) -> None:
    """Train as accelerate's documentation does."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, optimizer, loader, scheduler = accelerator.prepare(
        setting.model, setting.optimizer, setting.loader(), setting.scheduler
    )
    step, total = 0, torch.zeros(())
    model.train()
    for _ in range(EPOCHS):
        for batch in loader:
            with accelerator.accumulate(model):
                loss = model(**batch)["loss"]
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), MAX_NORM)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            step, total = step + 1, total + loss.detach()
            if step % LOG_EVERY == 0:
                print({"loss": accelerator.gather(total).mean().item() / LOG_EVERY, "step": step})
                total.zero_()


def with_multitrack(setting: Setting) -> None:
    """Train with the reference Trainer."""
    from multitrack.trainer import Trainer, TrainingArguments

    _train(Trainer, TrainingArguments, setting)


def with_transformers(setting: Setting) -> None:
    """Train with transformers' Trainer."""
    from transformers import Trainer, TrainingArguments

    _train(Trainer, TrainingArguments, setting)


def _train(trainer: Callable, arguments: Callable, setting: Setting) -> None:
    trainer(
        model=setting.model,
        args=arguments(**setting.arguments()),
        train_dataset=setting.samples,
        data_collator=default_collate,
        optimizers=(setting.optimizer, setting.scheduler),
    ).train()


def with_lightning(setting: Setting) -> None:
    """Train with Lightning, its logger and its progress bar turned off."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = setting.model

        def training_step(self, batch):
            loss = self.inner(**batch)["loss"]
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            schedule = {"scheduler": setting.scheduler, "interval": "step"}
            return {"optimizer": setting.optimizer, "lr_scheduler": schedule}

    class Printer(lightning.Callback):
        def on_train_batch_end(self, trainer, *_others) -> None:
            if trainer.global_step % LOG_EVERY == 0:
                print(
                    {"loss": trainer.callback_metrics["loss"].item(), "step": trainer.global_step}
                )

    lightning.Trainer(
        max_steps=setting.steps,
        accelerator="cpu",
        devices=1,
        gradient_clip_val=MAX_NORM,
        log_every_n_steps=LOG_EVERY,
        callbacks=[Printer()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Module(), setting.loader())


LOOPS: dict[str, Callable[[Setting], None]] = {
    "torch": by_hand,
    "accelerate": with_accelerate,
    "multitrack": with_multitrack,
    "transformers": with_transformers,
    "lightning": with_lightning,
}


def run_round(name: str, steps: int) -> float:
    """Train with a loop, and return the microseconds of a step."""
    setting = Setting(steps)
    gc.collect()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        LOOPS[name](setting)
    begun = setting.model.begun
    if len(begun) != steps:
        raise RuntimeError(f"{name} did {len(begun)} steps, not {steps}")
    return (begun[-1] - begun[0]) / (steps - 1) * 1e6


def show(rounds: list[dict[str, float]], steps: int) -> None:
    """Print the medians over the rounds with their range."""
    table = Table(title=f"one step, µs: median over {len(rounds)} rounds of {steps} steps (range)")
    for column in ("loop", "µs", "beyond torch", "ratio to torch"):
        table.add_column(column)
    for name in rounds[0]:
        more = statistics.median(row[name] - row["torch"] for row in rounds)
        ratios = [row[name] / row["torch"] for row in rounds]
        table.add_row(name, spread([row[name] for row in rounds]), f"{more:.0f}", spread(ratios))
    Console(width=100).print(table)


def main() -> None:
    """Measure all loops, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500, help="of a round; an even number")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="folder for trainer_step.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    loops = [name for name in LOOPS if importlib.util.find_spec(name)]
    for name in loops:
        run_round(name, 50)  # imports, and what happens once in a process
    gc.freeze()  # what the libraries hold is no garbage; looking through it costs all loops time
    rounds = [
        {name: run_round(name, options.steps) for name in loops} for _ in range(options.rounds)
    ]
    show(rounds, options.steps)
    write_results("trainer_step", {"steps": options.steps, "rounds": rounds}, options.json)


if __name__ == "__main__":
    main()
