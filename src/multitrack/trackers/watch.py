"""Watch a torch model: how its gradients and parameters are distributed, every so many steps.

One hook on torch's optimizers sees each step of training just before it happens. Then gradients
are whole, however many backward passes they were accumulated over, and clipped, if they are. On
all steps but every ``every``-th the hook counts, and that is all.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args
from weakref import WeakKeyDictionary

from multitrack.trackers.protocol import Emit
from multitrack.trackers.records import Histogram, Metrics, Scalar

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

logger = logging.getLogger("multitrack")

What: TypeAlias = Literal["gradients", "parameters", "all"]
SUFFIX = "non_finite"
"""Ends the names of metrics that count NaN and infinities."""


class Spread(NamedTuple):
    """A tensor's finite values as a histogram, None if it has none, and how many others it has."""

    histogram: dict[str, Any] | None
    non_finite: int


class Watch:
    """What looks at one model; it holds the model until it is stopped.

    Args:
        model: a ``torch.nn.Module``.
        log: what to look at.
        every: optimizer steps from one look to the next; the first is looked at.
        bins: of each histogram.
        name: put before the parameters' names.
        write: writes a histogram to the run, at its last step.
        emit: puts counts of non-finite values into the run, at its last step.

    Raises:
        TypeError: the model is none of torch.
        ValueError: another argument is not allowed.
    """

    def __init__(
        self,
        model: Module,
        *,
        log: What,
        every: int,
        bins: int,
        name: str,
        write: Callable[..., None],
        emit: Emit,
    ) -> None:
        _check(model, log, every, bins)
        self._kinds = ("gradients", "parameters") if log == "all" else (log,)
        self._every = every
        self._bins = bins
        self._write = write
        self._emit = emit
        prefix = f"{name}/" if name else ""
        self._names = {
            id(parameter): prefix + key.replace("_orig_mod.", "")  # torch.compile puts it there
            for key, parameter in model.named_parameters()
        }
        self._model: Module | None = model  # keeps the ids above its own
        self._steps: WeakKeyDictionary[Optimizer, int] = WeakKeyDictionary()
        self._hook = _on_each_step(self._before_step)

    def stop(self) -> None:
        """Remove the hook, and let go of the model."""
        self._hook.remove()
        self._names = {}
        self._model = None

    def _before_step(self, optimizer: Optimizer, *_: Any) -> None:
        """Look at what the optimizer is about to change, if it is time; never raises."""
        step = self._steps.get(optimizer, 0)
        self._steps[optimizer] = step + 1
        if step % self._every:
            return
        try:
            self._look(optimizer)
        except Exception as error:
            logger.warning("a model is no longer watched: %s: %s", type(error).__name__, error)
            self.stop()

    def _look(self, optimizer: Optimizer) -> None:
        counts: dict[str, Scalar] = {}
        for key, tensor in self._tensors(optimizer):
            spread = measure(tensor, self._bins)
            if spread.histogram:
                self._write(Histogram, None, key=key, **spread.histogram)
            if spread.non_finite:
                counts[f"{key}/{SUFFIX}"] = spread.non_finite
        if counts:
            self._emit(Metrics, counts)

    def _tensors(self, optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
        """Yield what there is to look at; a parameter that was not used has no gradient."""
        watched = [
            (self._names[id(parameter)], parameter)
            for group in optimizer.param_groups
            for parameter in group["params"]
            if id(parameter) in self._names
        ]
        for kind in self._kinds:
            for name, parameter in watched:
                tensor = parameter.grad if kind == "gradients" else parameter
                if tensor is not None:
                    yield f"{kind}/{name}", tensor


def measure(tensor: Tensor, bins: int) -> Spread:
    """Return how a tensor's values are distributed, on the device where it lies.

    Of a tensor that is spread over processes, this process's part is measured; of a sparse one,
    the values that it holds; of a complex one, real and imaginary parts.

    Args:
        tensor: of any shape and type.
        bins: number of bins of equal width.
    """
    import torch

    with torch.no_grad():
        values = _flat(tensor)
        is_finite = torch.isfinite(values)
        count = int(is_finite.sum())
        non_finite = values.numel() - count
        if not count:
            return Spread(None, non_finite)
        return Spread(_distribute(values[is_finite] if non_finite else values, bins), non_finite)


def _distribute(values: Tensor, bins: int) -> dict[str, Any]:
    """Return a histogram's fields; where all values are equal, they lie in the middle."""
    import torch

    sums = torch.stack([values.min(), values.max(), values.sum(), values.square().sum()])
    low, high, total, squares = (float(number) for number in sums.tolist())
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = high / bins - low / bins  # the difference of two large floats may be infinite
    places = ((values / width) - low / width).long().clamp_(0, bins - 1)
    counts = torch.bincount(places, minlength=bins)  # unlike histc, the same on every run of a GPU
    edges = [low + width * i for i in range(bins)] + [high]
    return {
        "edges": edges,
        "counts": [float(n) for n in counts.tolist()],
        "total": total,
        "squares": squares,
    }


def _flat(tensor: Tensor) -> Tensor:
    import torch

    values: Any = tensor.detach()
    if hasattr(values, "to_local"):  # a DTensor, as FSDP has them
        values = values.to_local()
    if values.layout != torch.strided:
        values = values.coalesce().values()
    if values.is_complex():
        values = torch.view_as_real(values)
    flat: Tensor = values.reshape(-1)
    return flat if flat.dtype in {torch.float32, torch.float64} else flat.float()


def _on_each_step(hook: Callable[..., None]) -> Any:
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    return register_optimizer_step_pre_hook(hook)


def _check(model: Any, log: str, every: Any, bins: Any) -> None:
    torch = sys.modules.get("torch")  # whoever has a module of torch has imported it
    if torch is None or not isinstance(model, torch.nn.Module):
        raise TypeError(f"a torch.nn.Module can be watched, not {type(model).__name__}")
    if log not in get_args(What):
        raise ValueError(f"log is {log!r}; allowed: {', '.join(get_args(What))}.")
    for name, number in (("every", every), ("bins", bins)):
        if type(number) is not int or number < 1:
            raise ValueError(f"{name} is {number!r}; allowed: a whole number above 0.")
