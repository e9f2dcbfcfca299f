"""The fields of TrainingArguments: names, types, what they mean, defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from torch.torch_version import TorchVersion
from torch.version import __version__ as torch_version

from multitrack.trainer.arguments.choices import (
    IntervalStrategy,
    LogRanks,
    OptimizerNames,
    SamplingStrategy,
    SaveStrategy,
    SchedulerType,
    TokenCount,
)

DEFAULT_OPTIMIZER = (
    OptimizerNames.ADAMW_TORCH_FUSED
    if TorchVersion(torch_version) >= "2.8"
    else OptimizerNames.ADAMW_TORCH
)


@dataclass(repr=False)
class Fields:
    """The arguments as data, without their checks."""

    # Output and length
    output_dir: Annotated[str | None, "Folder of the checkpoints; trainer_output if not given."] = (
        None
    )
    num_train_epochs: Annotated[float, "Epochs to train."] = 3.0
    max_steps: Annotated[
        int, "Update steps to train; if positive, it replaces num_train_epochs."
    ] = -1
    per_device_train_batch_size: Annotated[int, "Samples in a micro-batch on each device."] = 8
    per_device_eval_batch_size: Annotated[int, "Samples in an evaluation batch on each device."] = 8
    gradient_accumulation_steps: Annotated[int, "Micro-batches in an update step."] = 1

    # Optimizer and schedule
    optim: Annotated[OptimizerNames | str, "The optimizer."] = DEFAULT_OPTIMIZER
    optim_args: Annotated[str | None, 'More of its arguments, as "momentum=0.9,nesterov=true".'] = (
        None
    )
    learning_rate: Annotated[float, "The highest learning rate."] = 5e-05
    weight_decay: Annotated[float, "Weight decay; biases and normalisations have none."] = 0.0
    adam_beta1: Annotated[float, "AdamW's decay of the mean."] = 0.9
    adam_beta2: Annotated[float, "AdamW's decay of the variance."] = 0.999
    adam_epsilon: Annotated[float, "AdamW's epsilon."] = 1e-08
    max_grad_norm: Annotated[float, "Norm to which gradients are clipped; 0: not at all."] = 1.0
    lr_scheduler_type: Annotated[SchedulerType | str, "How the learning rate changes."] = (
        SchedulerType.LINEAR
    )
    lr_scheduler_kwargs: Annotated[dict[str, Any] | None, "More arguments of the scheduler."] = None
    warmup_steps: Annotated[float, "Steps of linear warm-up; below 1, a part of all steps."] = 0
    warmup_ratio: Annotated[float | None, "Part of all steps that is warm-up."] = None
    average_tokens_across_devices: Annotated[
        bool, "Count the tokens of all devices where a loss is a mean over tokens."
    ] = True

    # Precision, memory and speed
    bf16: Annotated[bool, "Mixed precision with bfloat16."] = False
    fp16: Annotated[bool, "Mixed precision with float16; needs a GPU."] = False
    tf32: Annotated[bool | None, "Allow TF32 in matrix products; not given: PyTorch's setting."] = (
        None
    )
    torch_compile: Annotated[bool, "Compile the model with torch.compile."] = False
    torch_compile_backend: Annotated[str | None, "Its backend; turns torch_compile on."] = None
    torch_compile_mode: Annotated[str | None, "Its mode; turns torch_compile on."] = None
    gradient_checkpointing: Annotated[bool, "Recompute activations to save memory."] = False
    gradient_checkpointing_kwargs: Annotated[
        dict[str, Any] | None, "Given to the model's gradient_checkpointing_enable."
    ] = None
    use_cache: Annotated[
        bool, "Let a language model keep its cache, which training does not need."
    ] = False
    use_cpu: Annotated[bool, "Train on the CPU even where there is a GPU."] = False

    # Logging
    logging_strategy: Annotated[IntervalStrategy | str, "When to log the loss."] = (
        IntervalStrategy.STEPS
    )
    logging_steps: Annotated[float, "Steps between two logs; below 1, a part of all steps."] = 500
    logging_first_step: Annotated[bool, "Log the first step too."] = False
    logging_nan_inf_filter: Annotated[
        bool, "Leave NaN and infinite losses out of the logged mean, with a warning."
    ] = True
    include_num_input_tokens_seen: Annotated[
        TokenCount | str | bool, "Count input tokens: all, or without padding."
    ] = TokenCount.NO
    skip_memory_metrics: Annotated[bool, "Do not measure memory."] = True
    disable_tqdm: Annotated[bool | None, "Print lines in place of progress bars."] = None
    report_to: Annotated[list[str] | str | None, "Trackers to report to, or all, or none."] = "none"
    run_name: Annotated[str | None, "Name of the run at the trackers."] = None
    project: Annotated[str | None, "Project of the run at the trackers."] = None
    log_ranks: Annotated[
        LogRanks | str, "Report the main process, or all, each as its own run."
    ] = LogRanks.MAIN

    # Evaluation
    eval_strategy: Annotated[IntervalStrategy | str, "When to evaluate."] = IntervalStrategy.NO
    eval_steps: Annotated[
        float | None, "Steps between two evaluations; logging_steps if not given; below 1, a part."
    ] = None
    eval_delay: Annotated[float, "Steps or epochs before the first evaluation."] = 0
    eval_on_start: Annotated[bool, "Evaluate before the first step."] = False
    prediction_loss_only: Annotated[bool, "Evaluate the loss alone."] = False
    eval_accumulation_steps: Annotated[
        int | None, "Batches after which predictions go to the CPU; not given: at the end."
    ] = None
    include_for_metrics: Annotated[
        list[str], "What compute_metrics gets besides: inputs, loss."
    ] = field(default_factory=list)
    label_names: Annotated[list[str] | None, "Inputs that are labels; found if not given."] = None

    # Checkpoints
    save_strategy: Annotated[SaveStrategy | str, "When to save a checkpoint."] = SaveStrategy.STEPS
    save_steps: Annotated[float, "Steps between two checkpoints; below 1, a part of all steps."] = (
        500
    )
    save_total_limit: Annotated[int | None, "Checkpoints to keep; the oldest are deleted."] = None
    save_only_model: Annotated[
        bool, "Save the model alone; such a checkpoint cannot be resumed."
    ] = False
    load_best_model_at_end: Annotated[bool, "Load the best checkpoint when training is over."] = (
        False
    )
    metric_for_best_model: Annotated[str | None, "The metric that tells the best model."] = None
    greater_is_better: Annotated[bool | None, "Whether more of it is better."] = None
    resume_from_checkpoint: Annotated[
        str | bool | None, "A checkpoint to go on from; true: the newest in output_dir."
    ] = None
    ignore_data_skip: Annotated[bool, "On resume, start the epoch's data from the beginning."] = (
        False
    )
    restore_callback_states_from_checkpoint: Annotated[
        bool, "On resume, bring back the states of callbacks."
    ] = False

    # Data
    train_sampling_strategy: Annotated[
        SamplingStrategy | str, "The order of the training samples."
    ] = SamplingStrategy.RANDOM
    dataloader_drop_last: Annotated[bool, "Leave out an incomplete last batch."] = False
    dataloader_num_workers: Annotated[int, "Processes that load data; 0: the training process."] = 0
    dataloader_pin_memory: Annotated[bool, "Pin memory, which speeds up copies to a GPU."] = True
    dataloader_persistent_workers: Annotated[bool, "Keep these processes between epochs."] = False
    dataloader_prefetch_factor: Annotated[int | None, "Batches that each of them loads ahead."] = (
        None
    )
    dataloader_multiprocessing_context: Annotated[
        str | None, "How these processes start: fork, spawn, forkserver; not given: PyTorch's way."
    ] = None
    dataloader_in_order: Annotated[
        bool, "Take batches in the order in which these processes were asked; false: when ready."
    ] = True
    remove_unused_columns: Annotated[
        bool, "Drop inputs that the model's forward does not take."
    ] = True

    # Reproducibility
    seed: Annotated[int, "Seed of all random generators."] = 42
    data_seed: Annotated[int | None, "Seed of the order of the samples; seed if not given."] = None
    full_determinism: Annotated[bool, "Use deterministic algorithms alone, which are slower."] = (
        False
    )

    # Many processes
    ddp_backend: Annotated[str | None, "Backend of torch.distributed, such as nccl or gloo."] = None
    ddp_timeout: Annotated[int, "Seconds that a collective operation may take."] = 1800
    ddp_find_unused_parameters: Annotated[bool | None, "DDP's find_unused_parameters."] = None
    ddp_bucket_cap_mb: Annotated[int | None, "DDP's bucket_cap_mb."] = None
    ddp_broadcast_buffers: Annotated[bool | None, "DDP's broadcast_buffers."] = None
    fsdp: Annotated[bool, "Shard model and optimizer over the devices, with FSDP."] = False
    fsdp_config: Annotated[
        dict[str, Any] | None,
        "How to shard, such as the classes of layers that are shards of their own "
        "(transformer_layer_cls_to_wrap), activation_checkpointing or cpu_offload.",
    ] = None

    # For scripts that ask for them; the Trainer does not
    do_train: Annotated[bool, "Whether a script should train."] = False
    do_eval: Annotated[
        bool, "Whether a script should evaluate; true if eval_strategy is not no."
    ] = False
    do_predict: Annotated[bool, "Whether a script should predict."] = False
