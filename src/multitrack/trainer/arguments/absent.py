"""Arguments of transformers that are not here, and what to do in their place."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

_AT_ONCE = (
    "compute_metrics gets all batches at once; use eval_accumulation_steps to take them off the "
    "device"
)
_CHECKPOINTING = "use gradient_checkpointing and gradient_checkpointing_kwargs"
_GROUPS = "override get_train_dataloader to group samples by length"
_HALF = "evaluation has the mixed precision of training: use bf16 or fp16"
_HUB = "upload the folder of a checkpoint yourself, for example in a callback's on_save"
_KERNELS = "apply Liger kernels to the model before you give it to the Trainer"
_LEVEL = 'set the level of the logger: logging.getLogger("multitrack").setLevel(...)'
_SHARDING = "use fsdp to shard a model"
_SPACE = "set TRACKIO_SPACE_ID and TRACKIO_BUCKET_ID in the environment"

ABSENT: dict[str, tuple[Any, str]] = {
    "accelerator_config": (None, "the other arguments set accelerate up; leave it out"),
    "activation_checkpointing": (None, _CHECKPOINTING),
    "activation_checkpointing_kwargs": (None, _CHECKPOINTING),
    "auto_find_batch_size": (False, "set per_device_train_batch_size"),
    "batch_eval_metrics": (False, _AT_ONCE),
    "bf16_full_eval": (False, _HALF),
    "ddp_static_graph": (None, "leave it out, or set ddp_find_unused_parameters=False"),
    "debug": ("", "leave it out, or call torch.autograd.set_detect_anomaly(True)"),
    "deepspeed": (None, _SHARDING),
    "enable_jit_checkpoint": (False, "leave it out: SIGTERM always saves a checkpoint"),
    "eval_do_concat_batches": (True, "leave it out: batches are always put together"),
    "eval_use_gather_object": (False, "let the model return tensors"),
    "fp16_full_eval": (False, _HALF),
    "hub_always_push": (False, _HUB),
    "hub_model_id": (None, _HUB),
    "hub_private_repo": (None, _HUB),
    "hub_revision": (None, _HUB),
    "hub_strategy": ("every_save", _HUB),
    "hub_token": (None, _HUB),
    "label_smoothing_factor": (
        0.0,
        "pass compute_loss_func with torch's cross_entropy(..., label_smoothing=...)",
    ),
    "length_column_name": ("length", _GROUPS),
    "liger_kernel_config": (None, _KERNELS),
    "local_rank": (-1, "leave it out: torchrun and accelerate launch tell it"),
    "log_level": ("passive", _LEVEL),
    "log_level_replica": ("warning", _LEVEL),
    "log_on_each_node": (True, _LEVEL),
    "neftune_noise_alpha": (None, "add the noise in the model's forward"),
    "optim_target_modules": (None, "pass optimizers to the Trainer"),
    "parallelism_config": (None, _SHARDING),
    "push_to_hub": (False, _HUB),
    "save_on_each_node": (False, "put output_dir on storage that all machines share"),
    "torch_empty_cache_steps": (
        None,
        "call torch.cuda.empty_cache() in a callback's on_step_end",
    ),
    "trackio_bucket_id": (None, _SPACE),
    "trackio_space_id": (None, _SPACE),
    "trackio_static_space_id": (None, "make a static Space of the runs with Trackio itself"),
    "use_liger_kernel": (False, _KERNELS),
}
"""Their defaults in transformers, which ask for nothing, and what to do without them, by name."""

NOTHING: dict[str, tuple[Any, ...]] = {"fsdp": (None, ""), "gradient_checkpointing": (None,)}
"""How transformers says of arguments that are here that nothing is asked for."""

REMOVED: dict[str, str] = {
    "group_by_length": _GROUPS,
    "half_precision_backend": "leave it out: PyTorch's own is used",
    "logging_dir": "set TENSORBOARD_LOGGING_DIR in the environment",
    "no_cuda": "use use_cpu",
    "overwrite_output_dir": "leave it out: a training begins anew unless it is told to resume",
    "save_safetensors": "leave it out: weights are always saved as safetensors",
    "use_mps_device": "leave it out: the device is found",
}
"""What to do without arguments that transformers itself had until its version 5, by name."""


def without_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without those that ask for nothing in a way of transformers' alone."""
    return {
        name: value
        for name, value in values.items()
        if not any(_is_same(value, word) for word in _nothing(name))
    }


def _nothing(name: str) -> tuple[Any, ...]:
    return ABSENT[name][:1] if name in ABSENT else NOTHING.get(name, ())


def _is_same(value: Any, word: Any) -> bool:
    return value is word or (word is not None and bool(value == word))


def unknown(given: Iterable[str], names: Collection[str]) -> list[str]:
    """Return a sentence for each name that is no argument."""
    return [_sentence(name, names) for name in sorted(set(given).difference(names))]


def _sentence(name: str, names: Collection[str]) -> str:
    if name in ABSENT:
        return f"{name} of transformers is not there; {ABSENT[name][1]}"
    if name in REMOVED:
        return f"{name} of transformers 4 is not there; {REMOVED[name]}"
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no argument {name!r}{hint}"
