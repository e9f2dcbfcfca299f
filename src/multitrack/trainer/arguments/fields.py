"""The fields of TrainingArguments: names, types, defaults and help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch.torch_version import TorchVersion
from torch.version import __version__ as torch_version

from multitrack.trainer.arguments.choices import (
    IntervalStrategy,
    OptimizerNames,
    SamplingStrategy,
    SaveStrategy,
    SchedulerType,
    TokenCount,
)

DEFAULT_OPTIMIZER = (
    OptimizerNames.ADAMW_TORCH_FUSED
    if TorchVersion(torch_version) >= (2, 8)
    else OptimizerNames.ADAMW_TORCH
)


def arg(default: Any, text: str) -> Any:
    """Return a dataclass field with a default and a help text."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass(repr=False)
class Fields:
    """The arguments as data, without their checks."""

    # Output and length
    output_dir: str | None = arg(None, "Folder of the checkpoints; trainer_output if not given.")
    num_train_epochs: float = arg(3.0, "Epochs to train.")
    max_steps: int = arg(-1, "Update steps to train; if positive, it replaces num_train_epochs.")
    per_device_train_batch_size: int = arg(8, "Samples in a micro-batch on each device.")
    per_device_eval_batch_size: int = arg(8, "Samples in an evaluation batch on each device.")
    gradient_accumulation_steps: int = arg(1, "Micro-batches in an update step.")

    # Optimizer and schedule
    optim: OptimizerNames | str = arg(DEFAULT_OPTIMIZER, "The optimizer.")
    optim_args: str | None = arg(None, 'More of its arguments, as "momentum=0.9,nesterov=true".')
    learning_rate: float = arg(5e-5, "The highest learning rate.")
    weight_decay: float = arg(0.0, "Weight decay; biases and normalisations have none.")
    adam_beta1: float = arg(0.9, "AdamW's decay of the mean.")
    adam_beta2: float = arg(0.999, "AdamW's decay of the variance.")
    adam_epsilon: float = arg(1e-8, "AdamW's epsilon.")
    max_grad_norm: float = arg(1.0, "Norm to which gradients are clipped; 0: not at all.")
    lr_scheduler_type: SchedulerType | str = arg(
        SchedulerType.LINEAR, "How the learning rate changes."
    )
    lr_scheduler_kwargs: dict[str, Any] | None = arg(None, "More arguments of the scheduler.")
    warmup_steps: float = arg(0, "Steps of linear warm-up; below 1, a part of all steps.")
    warmup_ratio: float | None = arg(None, "Part of all steps that is warm-up.")
    average_tokens_across_devices: bool = arg(
        True, "Count the tokens of all devices where a loss is a mean over tokens."
    )

    # Precision, memory and speed
    bf16: bool = arg(False, "Mixed precision with bfloat16.")
    fp16: bool = arg(False, "Mixed precision with float16; needs a GPU.")
    tf32: bool | None = arg(None, "Allow TF32 in matrix products; not given: PyTorch's setting.")
    torch_compile: bool = arg(False, "Compile the model with torch.compile.")
    torch_compile_backend: str | None = arg(None, "Its backend; turns torch_compile on.")
    torch_compile_mode: str | None = arg(None, "Its mode; turns torch_compile on.")
    gradient_checkpointing: bool = arg(False, "Recompute activations to save memory.")
    gradient_checkpointing_kwargs: dict[str, Any] | None = arg(
        None, "Given to the model's gradient_checkpointing_enable."
    )
    use_cpu: bool = arg(False, "Train on the CPU even where there is a GPU.")

    # Logging
    logging_strategy: IntervalStrategy | str = arg(IntervalStrategy.STEPS, "When to log the loss.")
    logging_steps: float = arg(500, "Steps between two logs; below 1, a part of all steps.")
    logging_first_step: bool = arg(False, "Log the first step too.")
    logging_nan_inf_filter: bool = arg(
        True, "Leave NaN and infinite losses out of the logged mean, with a warning."
    )
    include_num_input_tokens_seen: TokenCount | str | bool = arg(
        TokenCount.NO, "Count input tokens: all, or without padding."
    )
    skip_memory_metrics: bool = arg(True, "Do not measure memory.")
    disable_tqdm: bool | None = arg(None, "Print lines in place of progress bars.")
    report_to: list[str] | str | None = arg("none", "Trackers to report to, or all, or none.")
    run_name: str | None = arg(None, "Name of the run at the trackers.")
    project: str | None = arg(None, "Project of the run at the trackers.")

    # Evaluation
    eval_strategy: IntervalStrategy | str = arg(IntervalStrategy.NO, "When to evaluate.")
    eval_steps: float | None = arg(
        None, "Steps between two evaluations; logging_steps if not given; below 1, a part."
    )
    eval_delay: float = arg(0, "Steps or epochs before the first evaluation.")
    eval_on_start: bool = arg(False, "Evaluate before the first step.")
    prediction_loss_only: bool = arg(False, "Evaluate the loss alone.")
    eval_accumulation_steps: int | None = arg(
        None, "Batches after which predictions go to the CPU; not given: at the end."
    )
    include_for_metrics: list[str] = arg([], "What compute_metrics gets besides: inputs, loss.")
    label_names: list[str] | None = arg(None, "Inputs that are labels; found if not given.")

    # Checkpoints
    save_strategy: SaveStrategy | str = arg(SaveStrategy.STEPS, "When to save a checkpoint.")
    save_steps: float = arg(500, "Steps between two checkpoints; below 1, a part of all steps.")
    save_total_limit: int | None = arg(None, "Checkpoints to keep; the oldest are deleted.")
    save_only_model: bool = arg(False, "Save the model alone; such a checkpoint cannot be resumed.")
    load_best_model_at_end: bool = arg(False, "Load the best checkpoint when training is over.")
    metric_for_best_model: str | None = arg(None, "The metric that tells the best model.")
    greater_is_better: bool | None = arg(None, "Whether more of it is better.")
    resume_from_checkpoint: str | bool | None = arg(
        None, "A checkpoint to go on from; true: the newest in output_dir."
    )
    ignore_data_skip: bool = arg(False, "On resume, start the epoch's data from the beginning.")
    restore_callback_states_from_checkpoint: bool = arg(
        False, "On resume, bring back the states of callbacks."
    )

    # Data
    train_sampling_strategy: SamplingStrategy | str = arg(
        SamplingStrategy.RANDOM, "The order of the training samples."
    )
    dataloader_drop_last: bool = arg(False, "Leave out an incomplete last batch.")
    dataloader_num_workers: int = arg(0, "Processes that load data; 0: the training process.")
    dataloader_pin_memory: bool = arg(True, "Pin memory, which speeds up copies to a GPU.")
    dataloader_persistent_workers: bool = arg(False, "Keep these processes between epochs.")
    dataloader_prefetch_factor: int | None = arg(None, "Batches that each of them loads ahead.")
    remove_unused_columns: bool = arg(True, "Drop inputs that the model's forward does not take.")

    # Reproducibility
    seed: int = arg(42, "Seed of all random generators.")
    data_seed: int | None = arg(None, "Seed of the order of the samples; seed if not given.")
    full_determinism: bool = arg(False, "Use deterministic algorithms alone, which are slower.")

    # Many processes
    ddp_backend: str | None = arg(None, "Backend of torch.distributed, such as nccl or gloo.")
    ddp_timeout: int = arg(1800, "Seconds that a collective operation may take.")
    ddp_find_unused_parameters: bool | None = arg(None, "DDP's find_unused_parameters.")
    ddp_bucket_cap_mb: int | None = arg(None, "DDP's bucket_cap_mb.")
    ddp_broadcast_buffers: bool | None = arg(None, "DDP's broadcast_buffers.")
    fsdp: bool = arg(False, "Shard model and optimizer over the devices, with FSDP.")
    fsdp_config: dict[str, Any] | None = arg(
        None, "Arguments of accelerate's FullyShardedDataParallelPlugin."
    )
