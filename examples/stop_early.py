"""Stop when evaluations no longer get better, and keep the best model.

python examples/stop_early.py --output-dir early --report-to tensorboard
"""

from __future__ import annotations

import argparse

from spirals import SpiralClassifier, accuracy, spirals

from multitrack.trainer import EarlyStoppingCallback, Trainer, TrainingArguments


def main() -> None:
    """Train on few samples, which the model soon knows by heart."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output-dir", default="early")
    parser.add_argument("--report-to", nargs="*", default=["none"])
    parser.add_argument("--patience", type=int, default=3)
    options = parser.parse_args()
    trainer = Trainer(
        SpiralClassifier(),
        TrainingArguments(
            options.output_dir,
            report_to=options.report_to,
            num_train_epochs=100,
            learning_rate=1e-2,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=256,
            logging_strategy="epoch",
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="loss",
            disable_tqdm=True,
        ),
        train_dataset=spirals(128, seed=1),
        eval_dataset=spirals(256, seed=2),
        compute_metrics=accuracy,
        callbacks=[EarlyStoppingCallback(options.patience)],
    )
    trainer.train()
    state = trainer.state
    print(f"stopped after step {state.global_step} of {state.max_steps}")
    print(f"best at step {state.best_global_step}, with a loss of {state.best_metric:.4f}")
    print(f"the model's loss now: {trainer.evaluate()['eval_loss']:.4f}")


if __name__ == "__main__":
    main()
