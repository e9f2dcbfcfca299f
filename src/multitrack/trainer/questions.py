"""What scripts for transformers' Trainer ask theirs: rates, sizes, counts."""

from __future__ import annotations

from typing import Any

from accelerate import Accelerator
from torch import nn

from multitrack.trainer.arguments import TrainingArguments
from multitrack.trainer.callbacks.state import TrainerState
from multitrack.trainer.data.loaders import samples_in
from multitrack.trainer.loop.work import WorkCounter


class Questions:
    """The methods and attributes that tell scripts about a Trainer; training calls none of them.

    Attributes:
        args: what the training is told.
        model: the model without wrappers.
        accelerator: knows the device, the precision and the other processes.
        optimizer: the optimizer, once there is one.
        state: where training stands.
        work: counts operations.
    """

    args: TrainingArguments
    model: nn.Module
    accelerator: Accelerator
    optimizer: Any
    state: TrainerState
    work: WorkCounter

    is_deepspeed_enabled = False
    is_distributed_loading_by_transformers = False
    is_fsdp_xla_enabled = is_fsdp_xla_v1_enabled = is_fsdp_xla_v2_enabled = False
    is_model_parallel = False
    hp_name = hp_search_backend = None  # there is no search

    def get_num_trainable_parameters(self) -> int:
        """Return how many numbers of the model are trained."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def get_learning_rates(self) -> list[float]:
        """Return the learning rate of each of the optimizer's groups.

        Raises:
            ValueError: there is no optimizer yet.
        """
        return [group["lr"] for group in self._groups()]

    def get_optimizer_group(self, param: str | nn.Parameter | None = None) -> Any:
        """Return the optimizer's group of a parameter, or the parameters of all groups.

        Args:
            param: one of the model's, or its name; None for all of them.

        Returns:
            The group, None if no group has the parameter; or a list for each group.

        Raises:
            ValueError: there is no optimizer yet.
        """
        if param is None:
            return [group["params"] for group in self._groups()]
        wanted = dict(self.model.named_parameters()).get(param) if isinstance(param, str) else param
        for group in self._groups():
            if any(one is wanted for one in group["params"]):
                return group
        return None

    def get_total_train_batch_size(self, args: TrainingArguments | None = None) -> int:
        """Return how many samples an update step has, on all processes.

        Args:
            args: the arguments that say so; the Trainer's own if None.
        """
        args = self.args if args is None else args
        return args.train_batch_size * args.gradient_accumulation_steps * args.world_size

    def get_tp_size(self) -> int:
        """Return 1: a layer is never split among devices."""
        return 1

    get_cp_size = get_sp_size = get_tp_size

    def num_examples(self, dataloader: Any) -> int:
        """Return how many samples a loader's data set has, or about as many as its batches hold.

        Raises:
            TypeError: neither has a length.
        """
        known = samples_in(dataloader)
        return len(dataloader) * self.args.per_device_train_batch_size if known is None else known

    @property
    def current_flos(self) -> float:
        """Operations of this process that the state does not count yet."""
        return self.work.operations

    def store_flos(self) -> None:
        """Bring the state's count of operations up to date; every process must call this."""
        self.work.settle(self.state, self.accelerator)

    @property
    def place_model_on_device(self) -> bool:
        """Whether the constructor brings the whole model to the device."""
        return not self.is_fsdp_enabled

    @property
    def is_fsdp_enabled(self) -> bool:
        """Whether model and optimizer are sharded."""
        raise NotImplementedError

    def _groups(self) -> list[dict[str, Any]]:
        if self.optimizer is None:
            raise ValueError(
                "there is no optimizer yet: train() makes it, or call create_optimizer() first"
            )
        groups: list[dict[str, Any]] = self.optimizer.param_groups
        return groups
