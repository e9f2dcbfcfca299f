"""TrainingArguments: the fields with their checks, and what follows from them."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from multitrack.trackers.redact import redact_tree
from multitrack.trackers.registry import resolve
from multitrack.trainer.arguments import sources
from multitrack.trainer.arguments.absent import ABSENT, unknown, without_defaults
from multitrack.trainer.arguments.checks import find_problems
from multitrack.trainer.arguments.choices import IntervalStrategy, SchedulerType, TokenCount
from multitrack.trainer.arguments.convert import as_text_or_type, convert_all, dump
from multitrack.trainer.arguments.environment import Environment
from multitrack.trainer.arguments.fields import Fields

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

Made = TypeVar("Made")


class ArgumentNames(type):
    """Refuses unknown names, before the constructor that dataclass writes would."""

    def __call__(cls: type[Made], *args: Any, **values: Any) -> Made:
        """Construct the arguments; those of transformers that ask for nothing may be given."""
        values = without_defaults(values)
        names = [field.name for field in dataclasses.fields(cast("Any", cls))]
        if problems := unknown(values, names):
            raise TypeError(as_list(problems))
        made: Made = type.__call__(cls, *args, **values)
        return made


@dataclass(repr=False)
class TrainingArguments(Fields, Environment, metaclass=ArgumentNames):
    """What a training is told: transformers' names, types and defaults.

    They come from code, from a dict (`from_dict`), from a JSON or YAML file (`from_file`) or
    from the command line (`from_command_line`). Everything wrong with them is told at once.

    Raises:
        ValueError: an argument, or several together, cannot be; one line for each problem.
        TypeError: there is no argument of that name; the message says what to do without it.
        ImportError: the client of a tracker in `report_to` is not installed; the message says
            how to install it.

    Example:
        ```python
        args = TrainingArguments(
            "out", learning_rate=1e-3, eval_strategy="epoch", report_to=["tensorboard"]
        )
        ```
    """

    def __post_init__(self) -> None:
        values, problems = convert_all(vars(self), from_text=False)
        refuse(problems)
        vars(self).update(values)
        self._derive()
        refuse(list(find_problems(self)))
        self.report_to: list[str] = resolve(self.report_to)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingArguments:
        """Return arguments from a dict, in which numbers may be written as text.

        Raises:
            ValueError: a name or a value is wrong.
        """
        known, problems = sources.known(values)
        converted, wrong = convert_all(known, from_text=True)
        refuse([*problems, *wrong])
        return cls(**converted)

    @classmethod
    def from_file(cls, path: str | Path, **overrides: Any) -> TrainingArguments:
        """Return arguments from a ``.json``, ``.yaml`` or ``.yml`` file.

        Args:
            path: the file; it holds one mapping of names to values.
            overrides: arguments that replace those of the file.

        Raises:
            ValueError: the file is no such mapping, or a name or a value is wrong.
        """
        return cls.from_dict({**sources.read(Path(path)), **overrides})

    @classmethod
    def from_command_line(cls, argv: Sequence[str] | None = None) -> TrainingArguments:
        """Return arguments from options such as ``--learning-rate 1e-3 --bf16``.

        ``--config FILE`` reads a JSON or YAML file first; options replace what it says. A wrong
        option ends the program with a message and status 2.

        Args:
            argv: the words after the program's name; those of this process if None.
        """
        parser = sources.new_parser()
        cls.add_to_parser(parser)
        namespace = sources.parse(parser, argv)
        try:
            return cls.from_namespace(namespace)
        except (ValueError, ImportError, OSError) as error:
            parser.error(str(error))

    @staticmethod
    def add_to_parser(parser: ArgumentParser) -> None:
        """Add an option for every argument to a parser of your own."""
        sources.add_options(parser)

    @classmethod
    def from_namespace(cls, namespace: Namespace) -> TrainingArguments:
        """Return arguments from what a parser found that `add_to_parser` was called with.

        Raises:
            ValueError: a value is wrong.
        """
        values = sources.given(namespace)
        config = getattr(namespace, "config", None)
        return cls.from_file(config, **values) if config else cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Return all arguments as plain values, without secrets."""
        redacted: dict[str, Any] = redact_tree(dump(self))
        return redacted

    def to_json_string(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def to_sanitized_dict(self) -> dict[str, bool | int | float | str]:
        """Return `to_dict` with what is neither number nor text as text, and the batch sizes."""
        values = self.to_dict() | {
            "train_batch_size": self.train_batch_size,
            "eval_batch_size": self.eval_batch_size,
        }
        return {k: v if type(v) in (bool, int, float, str) else str(v) for k, v in values.items()}

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """Return the steps of warm-up in a training of so many steps."""
        steps = self.warmup_steps if self.warmup_ratio is None else self.warmup_ratio
        is_ratio = self.warmup_ratio is not None or steps < 1
        return math.ceil(num_training_steps * steps) if is_ratio else int(steps)

    def _derive(self) -> None:
        """Fill in what depends on other arguments."""
        self.output_dir = str(Path(self.output_dir or "trainer_output").expanduser())
        if isinstance(self.include_num_input_tokens_seen, bool):
            counted = TokenCount.ALL if self.include_num_input_tokens_seen else TokenCount.NO
            self.include_num_input_tokens_seen = counted
        self.do_eval |= self.eval_strategy != IntervalStrategy.NO
        if self.eval_strategy == IntervalStrategy.STEPS and not self.eval_steps:
            self.eval_steps = self.logging_steps
        self._make_intervals_whole()
        if self.disable_tqdm is None:
            level = logging.getLogger("multitrack").getEffectiveLevel()
            self.disable_tqdm = level > logging.WARNING
        self.torch_compile |= bool(self.torch_compile_backend or self.torch_compile_mode)
        self._derive_best_metric()

    def _make_intervals_whole(self) -> None:
        """Let intervals be whole numbers, unless they are parts of all steps."""
        for name in ("logging_steps", "eval_steps", "save_steps"):
            steps = getattr(self, name)
            if steps is not None and steps >= 1 and float(steps).is_integer():
                setattr(self, name, int(steps))

    def _derive_best_metric(self) -> None:
        plateau = self.lr_scheduler_type == SchedulerType.REDUCE_ON_PLATEAU
        if self.metric_for_best_model is None and (self.load_best_model_at_end or plateau):
            self.metric_for_best_model = "loss"
        if self.greater_is_better is None and self.metric_for_best_model is not None:
            self.greater_is_better = not self.metric_for_best_model.endswith("loss")

    def __repr__(self) -> str:
        shown = self.to_dict()
        names = sorted(field.name for field in dataclasses.fields(self))
        lines = "".join(f"    {name}={shown[name]!r},\n" for name in names)
        return f"{type(self).__name__}(\n{lines})"


# What transformers' HfArgumentParser reads: it has no options for other unions of types.
TrainingArguments.__annotations__.update(as_text_or_type())

# Arguments of transformers that are not there answer with their defaults, which ask for nothing.
for _name, (_default, _) in ABSENT.items():
    if not hasattr(TrainingArguments, _name):  # the environment knows local_rank
        setattr(TrainingArguments, _name, _default)


def refuse(problems: list[str]) -> None:
    """Raise one error that tells all problems, if there are any.

    Raises:
        ValueError: there is a problem.
    """
    if problems:
        raise ValueError(as_list(problems))


def as_list(problems: list[str]) -> str:
    """Return the message that tells all problems."""
    return "TrainingArguments:\n" + "\n".join(f"  - {line}" for line in problems)
