"""Train a small language model, letter by letter, on the documentation that comes with Python.

    python examples/language_model.py --output-dir language --report-to tensorboard

It downloads nothing. At the end the model writes a text, which goes to every tracker.
"""

from __future__ import annotations

import argparse
from pydoc_data.topics import topics
from typing import Any

import torch
from torch import nn

from multitrack import TrackingCallback
from multitrack.trainer import Trainer, TrainingArguments

LENGTH = 64
"""Letters that the model sees at once."""


class Letters:
    """A tokenizer: every letter of a text is a token."""

    def __init__(self, text: str) -> None:
        self.letters = sorted(set(text))
        self._numbers = {letter: number for number, letter in enumerate(self.letters)}

    def encode(self, text: str) -> torch.Tensor:
        """Return the numbers of a text's letters."""
        return torch.tensor([self._numbers[letter] for letter in text])

    def decode(self, tokens: torch.Tensor) -> str:
        """Return the text of numbers."""
        return "".join(self.letters[int(token)] for token in tokens)


class LanguageModel(nn.Module):
    """A transformer with two layers that predicts the next letter."""

    def __init__(self, letters: int, width: int = 64) -> None:
        super().__init__()
        self.letters = nn.Embedding(letters, width)
        self.places = nn.Embedding(LENGTH, width)
        layer = nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=4 * width, dropout=0.0, batch_first=True
        )
        self.layers = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.head = nn.Linear(width, letters)

    def forward(
        self, input_ids: torch.Tensor, labels: torch.Tensor | None = None
    ) -> dict[str, Any]:
        """Return the logits of each next letter, and the loss if there are labels."""
        length = input_ids.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=input_ids.device)
        places = torch.arange(length, device=input_ids.device)
        hidden = self.layers(
            self.letters(input_ids) + self.places(places), mask=mask, is_causal=True
        )
        logits = self.head(hidden)
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits.mT, labels), "logits": logits}

    @torch.no_grad()
    def write(self, start: torch.Tensor, count: int) -> torch.Tensor:
        """Return a beginning with so many letters more, drawn as the model thinks likely."""
        tokens = start[None]
        for _ in range(count):
            likely = self(tokens[:, -LENGTH:])["logits"][:, -1].softmax(dim=-1)
            tokens = torch.cat([tokens, torch.multinomial(likely, 1)], dim=1)
        return tokens[0]


def windows(tokens: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Return pieces of a text, each with the same piece one letter further as its labels."""
    starts = range(0, len(tokens) - LENGTH - 1, LENGTH)
    return [
        {"input_ids": tokens[i : i + LENGTH], "labels": tokens[i + 1 : i + LENGTH + 1]}
        for i in starts
    ]


def main() -> None:
    """Train, evaluate, and let the model write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output-dir", default="language")
    parser.add_argument("--report-to", nargs="*", default=["none"])
    parser.add_argument("--max-steps", type=int, default=300)
    options = parser.parse_args()

    text = "".join(topics[name] for name in sorted(topics))[:200_000]
    letters = Letters(text)
    samples = windows(letters.encode(text))
    tracking = TrackingCallback(options.report_to, project="language", name="letters")
    torch.manual_seed(0)
    trainer = Trainer(
        LanguageModel(len(letters.letters)),
        TrainingArguments(
            options.output_dir,
            max_steps=options.max_steps,
            learning_rate=3e-3,
            warmup_steps=0.1,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=64,
            logging_steps=20,
            include_num_input_tokens_seen=True,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=samples[:-200],
        eval_dataset=samples[-200:],
        callbacks=[tracking],
    )
    trainer.train()
    print(f"loss: {trainer.evaluate()['eval_loss']:.3f}")
    trainer.model.eval()
    start = letters.encode("The ").to(trainer.args.device)
    written = letters.decode(trainer.model.write(start, 200))
    if tracking.run is not None:
        tracking.run.log_text("sample", written, step=trainer.state.global_step)
    print(written)


if __name__ == "__main__":
    main()
