"""Stop in the middle, go on in another Trainer, and come to the same weights, to the bit.

    python examples/resume.py --output-dir resumed --report-to tensorboard

Both parts are one run at every tracker.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from spirals import SpiralClassifier, spirals

from multitrack.trainer import Trainer, TrainerCallback, TrainerControl, TrainingArguments


class StopAt(TrainerCallback):
    """Ends training after a step, as a machine that is taken away would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control: TrainerControl, **kwargs) -> None:  # noqa: ANN001, ANN003
        """Ask for a checkpoint, and for the end."""
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


def trainer(folder: Path, report_to: list[str], *callbacks: TrainerCallback) -> Trainer:
    """Return a new Trainer with a new model: equal seeds make equal ones."""
    torch.manual_seed(0)
    return Trainer(
        SpiralClassifier(),
        TrainingArguments(
            str(folder),
            report_to=report_to,
            max_steps=60,
            learning_rate=1e-2,
            per_device_train_batch_size=32,
            logging_steps=10,
            disable_tqdm=True,
        ),
        train_dataset=spirals(1024, seed=1),
        callbacks=list(callbacks),
    )


def main() -> None:
    """Train at one go and in two parts, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output-dir", type=Path, default=Path("resumed"))
    parser.add_argument("--report-to", nargs="*", default=["none"])
    options = parser.parse_args()

    whole = trainer(options.output_dir / "whole", ["none"])
    whole.train()

    folder = options.output_dir / "parts"
    trainer(folder, options.report_to, StopAt(37)).train()
    second = trainer(folder, options.report_to)
    second.train(resume_from_checkpoint=True)

    pairs = zip(whole.model.parameters(), second.model.parameters(), strict=True)
    print("equal to the bit:", all(torch.equal(one, other) for one, other in pairs))


if __name__ == "__main__":
    main()
