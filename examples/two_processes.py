"""Train on several devices, or in several processes of a machine without one.

    torchrun --nproc-per-node 2 examples/two_processes.py --output-dir two
    accelerate launch --num_processes 2 examples/two_processes.py --output-dir two

Batch sizes are per process; every sample is evaluated once. The first process reports, or with
``--log-ranks all`` each of them, as a run of its own.
"""

from __future__ import annotations

import argparse

import torch
from spirals import SpiralClassifier, accuracy, spirals

from multitrack.trainer import Trainer, TrainingArguments


def main() -> None:
    """Train and evaluate; the first process says how it went."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output-dir", default="two")
    parser.add_argument("--report-to", nargs="*", default=["none"])
    parser.add_argument("--log-ranks", choices=["main", "all"], default="main")
    options = parser.parse_args()
    torch.manual_seed(0)
    trainer = Trainer(
        SpiralClassifier(),
        TrainingArguments(
            options.output_dir,
            report_to=options.report_to,
            log_ranks=options.log_ranks,
            max_steps=200,
            learning_rate=1e-2,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=64,
            logging_steps=50,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=spirals(2048, seed=1),
        eval_dataset=spirals(301, seed=2),
        compute_metrics=accuracy,
    )
    trainer.train()
    metrics = trainer.evaluate()
    if trainer.is_world_process_zero():
        print(f"{trainer.args.world_size} processes, accuracy {metrics['eval_accuracy']:.1%}")


if __name__ == "__main__":
    main()
