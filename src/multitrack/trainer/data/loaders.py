"""Data loaders, made for one process or many."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

from accelerate import Accelerator, skip_first_batches
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler

if TYPE_CHECKING:
    from multitrack.trainer.arguments import TrainingArguments
    from multitrack.trainer.data.collate import Collator


def train_loader(
    dataset: Any, args: TrainingArguments, collate: Collator, accelerator: Accelerator
) -> Any:
    """Return the loader of training batches: shuffled anew in every epoch, by the seed alone."""
    sampler = None
    if not isinstance(dataset, IterableDataset):
        is_random = args.train_sampling_strategy == "random"
        sampler = RandomSampler(dataset) if is_random else SequentialSampler(dataset)
    options = _options(args, collate, args.train_batch_size)
    if sampler is not None:
        options |= {"sampler": sampler, "drop_last": args.dataloader_drop_last}
    return accelerator.prepare(DataLoader(dataset, **options))


def eval_loader(
    dataset: Any,
    args: TrainingArguments,
    collate: Collator,
    accelerator: Accelerator,
    *,
    is_kept: bool = False,
) -> Any:
    """Return the loader of evaluation batches: all samples, in order.

    Only if it is kept for the next evaluation may its workers persist: else they would pile up.
    """
    options = _options(args, collate, args.eval_batch_size)
    options["persistent_workers"] &= is_kept
    return accelerator.prepare(DataLoader(dataset, **options))


def length_of(loader: Any) -> int | None:
    """Return the number of batches, None if it is not known."""
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a loader over a stream has __len__, which raises
        return None


def samples_in(loader: Any) -> int | None:
    """Return the number of samples of the loader's data set, None if it is not known."""
    try:
        return len(loader.dataset)
    except (AttributeError, TypeError):
        return None


def at_position(loader: Any, epoch: int, batches: int) -> Any:
    """Return the loader set to an epoch, behind its first batches."""
    if hasattr(loader, "set_epoch"):  # a loader of the user's own may lack it
        loader.set_epoch(epoch)
    _set_sampler_epoch(loader, epoch)
    return skip_first_batches(loader, batches) if batches else loader


def _set_sampler_epoch(loader: Any, epoch: int) -> None:
    # The loader's own set_epoch does not look through all the wrappers that skipping and
    # sharding put around the sampler.
    sampler = getattr(loader, "batch_sampler", None)
    while sampler is not None:
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        sampler = getattr(sampler, "batch_sampler", None) or getattr(sampler, "sampler", None)


def _options(args: TrainingArguments, collate: Collator, batch_size: int) -> dict[str, Any]:
    return {
        "batch_size": batch_size,
        "collate_fn": collate,
        "num_workers": args.dataloader_num_workers,
        "pin_memory": args.dataloader_pin_memory and args.device.type == "cuda",
        "persistent_workers": args.dataloader_persistent_workers,
        "prefetch_factor": args.dataloader_prefetch_factor,
        "multiprocessing_context": args.dataloader_multiprocessing_context,
        "in_order": args.dataloader_in_order,
    }
