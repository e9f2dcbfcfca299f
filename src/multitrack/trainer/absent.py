"""What transformers' Trainer has and ours has not: told early, with what to do in its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

_COLUMNS = "set remove_unused_columns=False, and pass a data_collator"
_COMPUTE = "override training_step, or write a callback"
_HUB = "upload the folder yourself, for example with huggingface_hub's upload_folder"
_LOADING = "load the model before you give it to the Trainer"
_OPTIMIZERS = "override create_optimizer and create_scheduler"
_SEARCH = "make a Trainer for each trial, for example in an objective of optuna"

PARAMETERS = {
    "model_init": "pass model=model_init()",
    "optimizer_cls_and_kwargs": "pass optimizers=(optimizer, None)",
    "tokenizer": "pass it as processing_class",
}
"""What to do without parameters of the constructor."""

HOOKS = {
    "_get_eval_sampler": "override get_eval_dataloader",
    "_get_train_sampler": "override get_train_dataloader",
    "_inner_training_loop": _COMPUTE,
    "_load_best_model": _LOADING,
    "_load_from_checkpoint": _LOADING,
    "_maybe_log_save_evaluate": "override log or evaluate, or write a callback",
    "_remove_unused_columns": _COLUMNS,
    "_save_checkpoint": "override save_model, or write a callback with on_save",
    "_set_signature_columns_if_needed": _COLUMNS,
    "_wrap_model": "override training_step",
    "call_model_init": _LOADING,
    "create_optimizer_and_scheduler": _OPTIMIZERS,
    "floating_point_ops": "give it to the model",
    "get_batch_samples": "override get_train_dataloader, or count_items",
    "prediction_loop": "override evaluation_loop",
}
"""What to override in place of methods that transformers' Trainer calls and ours does not."""


def check_parameters(given: Iterable[str]) -> None:
    """Refuse parameters that the constructor has not.

    Raises:
        TypeError: there is one; the message says what to do without it.
    """
    for name in given:
        advice = f": {PARAMETERS[name]}" if name in PARAMETERS else ""
        raise TypeError(f"Trainer has no parameter {name!r}{advice}")


def check_hooks(cls: type) -> None:
    """Refuse a subclass whose methods would never be called.

    Raises:
        TypeError: there is one; the message says what to override in its place.
    """
    if dead := sorted(HOOKS.keys() & vars(cls).keys()):
        lines = "".join(f"\n  - {name}: {HOOKS[name]}" for name in dead)
        raise TypeError(
            f"{cls.__name__} overrides methods that this Trainer does not call, other than that "
            f"of transformers:{lines}"
        )


class Absent:
    """An attribute that is not there: it says what to do without it.

    Args:
        advice: what to do.
    """

    def __init__(self, advice: str) -> None:
        self.advice = advice

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, owner: object, kind: type) -> NoReturn:
        raise AttributeError(
            f"{kind.__name__!r} object has no attribute {self.name!r}: {self.advice}"
        )


class AbsentAttributes:
    """Attributes and methods of transformers' Trainer that ours has not.

    A `__getattr__` would do, but makes every other attribute slower.
    """

    create_optimizer_and_scheduler = Absent("call create_optimizer and create_scheduler")
    deepspeed = Absent("there is no DeepSpeed; use fsdp=True")
    hyperparameter_search = Absent(_SEARCH)
    label_smoother = Absent("pass compute_loss_func to the Trainer")
    model_init = Absent("keep it yourself")
    model_wrapped = Absent("use model, or self.accelerator.prepare(self.model)")
    push_to_hub = Absent(_HUB)
    tokenizer = Absent("use processing_class")
