"""Arguments of transformers that are not here, and what to do in their place."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

_CHECKPOINTING = "use gradient_checkpointing and gradient_checkpointing_kwargs"
_HALF = "evaluation has the mixed precision of training: use bf16 or fp16"
_HUB = "upload the folder of a checkpoint yourself, for example in a callback's on_save"
_KERNELS = "apply Liger kernels to the model before you give it to the Trainer"
_LEVEL = 'set the level of the logger: logging.getLogger("multitrack").setLevel(...)'
_SHARDING = "use fsdp to shard a model"
_SPACE = "set TRACKIO_SPACE_ID and TRACKIO_BUCKET_ID in the environment"

ABSENT: dict[str, str] = {
    "accelerator_config": "the other arguments set accelerate up; leave it out",
    "activation_checkpointing": _CHECKPOINTING,
    "activation_checkpointing_kwargs": _CHECKPOINTING,
    "auto_find_batch_size": "set per_device_train_batch_size",
    "batch_eval_metrics": "compute_metrics gets all batches at once; use eval_accumulation_steps "
    "to take them off the device",
    "bf16_full_eval": _HALF,
    "ddp_static_graph": "leave it out, or set ddp_find_unused_parameters=False",
    "debug": "leave it out, or call torch.autograd.set_detect_anomaly(True)",
    "deepspeed": _SHARDING,
    "do_eval": "call trainer.evaluate(), or set eval_strategy",
    "do_predict": "call trainer.predict(...)",
    "do_train": "call trainer.train()",
    "enable_jit_checkpoint": "leave it out: SIGTERM always saves a checkpoint",
    "eval_do_concat_batches": "leave it out: batches are always put together",
    "eval_use_gather_object": "let the model return tensors",
    "fp16_full_eval": _HALF,
    "hub_always_push": _HUB,
    "hub_model_id": _HUB,
    "hub_private_repo": _HUB,
    "hub_revision": _HUB,
    "hub_strategy": _HUB,
    "hub_token": _HUB,
    "label_smoothing_factor": "pass compute_loss_func with torch's "
    "cross_entropy(..., label_smoothing=...)",
    "length_column_name": "override get_train_dataloader to group samples by length",
    "liger_kernel_config": _KERNELS,
    "local_rank": "leave it out: torchrun and accelerate launch tell it",
    "log_level": _LEVEL,
    "log_level_replica": _LEVEL,
    "log_on_each_node": _LEVEL,
    "neftune_noise_alpha": "add the noise in the model's forward",
    "optim_target_modules": "pass optimizers to the Trainer",
    "parallelism_config": _SHARDING,
    "push_to_hub": _HUB,
    "save_on_each_node": "put output_dir on storage that all machines share",
    "torch_empty_cache_steps": "call torch.cuda.empty_cache() in a callback's on_step_end",
    "trackio_bucket_id": _SPACE,
    "trackio_space_id": _SPACE,
    "trackio_static_space_id": "make a static Space of the runs with Trackio itself",
    "use_liger_kernel": _KERNELS,
}
"""What to do without them, by name."""


def unknown(given: Iterable[str], names: Collection[str]) -> list[str]:
    """Return a sentence for each name that is no argument."""
    return [_sentence(name, names) for name in sorted(set(given).difference(names))]


def _sentence(name: str, names: Collection[str]) -> str:
    if name in ABSENT:
        return f"{name} of transformers is not there; {ABSENT[name]}"
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no argument {name!r}{hint}"
