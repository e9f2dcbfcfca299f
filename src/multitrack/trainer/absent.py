"""What transformers' Trainer has and ours has not: told early, with what to do in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

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
"""What to do without parameters of the constructor; None, their default, asks for nothing."""

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


def check_parameters(given: Mapping[str, Any]) -> None:
    """Refuse parameters that the constructor has not, unless they ask for nothing.

    Raises:
        TypeError: there is one; the message says what to do without it.
    """
    for name, value in given.items():
        if name in PARAMETERS and value is None:
            continue
        advice = f": {PARAMETERS[name]}" if name in PARAMETERS else ""
        raise TypeError(f"Trainer has no parameter {name!r}{advice}")


def check_trial(trial: object) -> None:
    """Refuse a trial of a search.

    Raises:
        TypeError: one was given; the message says what to do.
    """
    if trial is not None:
        raise TypeError(f"Trainer.train takes no trial: {_SEARCH}")


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

    autocast_smart_context_manager = Absent("use compute_loss_context_manager")
    call_model_init = Absent(_LOADING)
    can_return_loss = Absent("a loss is asked for where all label_names are in a batch")
    compute_objective = Absent(_SEARCH)
    create_accelerator_and_postprocess = Absent("the constructor does that; use accelerator")
    create_optimizer_and_scheduler = Absent("call create_optimizer and create_scheduler")
    deepspeed = Absent("there is no DeepSpeed; use fsdp=True")
    floating_point_ops = Absent("give the model a floating_point_ops, which is counted")
    gather_function = Absent("use accelerator.gather_for_metrics")
    get_batch_samples = Absent("override get_train_dataloader, or count_items")
    hub_model_id = Absent(_HUB)
    hyperparameter_search = Absent(_SEARCH)
    init_hf_repo = Absent(_HUB)
    label_smoother = Absent("pass compute_loss_func to the Trainer")
    model_init = Absent("keep it yourself")
    model_wrapped = Absent("use model, or self.accelerator.prepare(self.model)")
    neftune_noise_alpha = Absent("add the noise in the model's forward")
    num_tokens = Absent("read num_input_tokens_seen of state, which an argument turns on")
    optimizer_cls_and_kwargs = Absent("pass optimizers=(optimizer, None)")
    propagate_args_to_deepspeed = Absent("there is no DeepSpeed; use fsdp=True")
    push_to_hub = Absent(_HUB)
    set_initial_training_values = Absent("read max_steps and num_train_epochs of state")
    tokenizer = Absent("use processing_class")
