"""A device that is not the CPU, made of the CPU's memory and arithmetic.

Whoever imports this has a device: PyTorch and accelerate take it for an NPU, for which they have
places kept free. It is a stand-in for the border between the CPU and a device, and for that alone:
an operation on tensors of both sides is refused, and what is read back is counted. It has no
kernels, numbers, streams, memory or speed of its own, so that it says nothing of those of a GPU.
"""

from __future__ import annotations

import functools
import importlib.machinery
import sys
import types
from typing import Any

import torch
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "npu"
DEVICE = torch.device("privateuseone", 0)  # its name before it gets ours
CPU = torch.device("cpu")

aten = torch.ops.aten
_TAKES_BOTH_SIDES = (
    aten.copy_.default,
    aten._to_copy.default,
    *(aten.index.Tensor, aten.index_put.default, aten.index_put_.default),
)
_READS = (
    *(aten._local_scalar_dense.default, aten.is_nonzero.default),
    *(aten.equal.default, aten.nonzero.default, aten.masked_select.default),
)


class Reads:
    """Counts how often a value has come back from the device, for which a GPU would wait."""

    count = 0


class DeviceTensor(torch.Tensor):
    """A tensor on the device; its values are those of a tensor on the CPU, ``held``."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> DeviceTensor:
        tensor: DeviceTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        tensor.held = held
        return tensor

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        _refuse_both_sides(operation, args, kwargs)
        Reads.count += operation in _READS
        if operation is aten.copy_.default:
            return _copy(args[1], args[0])
        goes_back = "device" in kwargs and kwargs["device"].type == "cpu"
        Reads.count += goes_back
        if "device" in kwargs:
            kwargs["device"] = CPU
        inner_args, inner_kwargs = tree_map_only(DeviceTensor, _held, (args, kwargs))
        found = operation(*inner_args, **inner_kwargs)
        if goes_back:
            return found
        found = tree_map_only(torch.Tensor, DeviceTensor, found)
        return return_and_correct_aliasing(operation, args, kwargs, found)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    # A file and the search for tied weights look at memory, of which a wrapper has none.

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.detach().__reduce_ex__(protocol)

    def storage(self) -> Any:
        return self.held.storage()

    def untyped_storage(self) -> Any:
        return self.held.untyped_storage()

    def data_ptr(self) -> int:
        return self.held.data_ptr()


class _DeviceModule:
    """What PyTorch and accelerate find as ``torch.npu``."""

    amp = types.SimpleNamespace(GradScaler=functools.partial(torch.amp.GradScaler, NAME))

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def set_device(self, _device: Any) -> None:
        pass

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def get_rng_state(self) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor) -> None:
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def empty_cache(self) -> None:
        pass


def _held(tensor: Any) -> Any:
    return tensor.held if isinstance(tensor, DeviceTensor) else tensor


def _refuse_both_sides(operation: Any, args: Any, kwargs: Any) -> None:
    """Refuse what a GPU refuses: tensors of both sides, except numbers to read and what copies.

    Raises:
        RuntimeError: there are such.
    """
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    strangers = [one for one in tensors if not isinstance(one, DeviceTensor)]
    written = tensors[:1] if operation._schema.is_mutable else []
    refused = [one for one in strangers if one.ndim or any(one is other for other in written)]
    if refused and operation not in _TAKES_BOTH_SIDES:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found {NAME} and cpu in "
            f"{operation}"
        )


def _copy(source: Any, target: Any, non_blocking: bool = False) -> Any:
    Reads.count += not isinstance(target, DeviceTensor)
    _held(target).copy_(_held(source))
    return target


def _empty(size: Any, dtype: Any = None, *_: Any, **__: Any) -> DeviceTensor:
    return DeviceTensor(torch.empty(size, dtype=dtype))


def _empty_strided(size: Any, stride: Any, dtype: Any = None, *_: Any, **__: Any) -> DeviceTensor:
    return DeviceTensor(torch.empty_strided(size, stride, dtype=dtype))


def _autocast_linear(x: Any, weight: Any, bias: Any = None) -> Any:
    dtype = torch.get_autocast_dtype(NAME)
    with torch.autocast(NAME, enabled=False):
        bias = None if bias is None else bias.to(dtype)
        return torch.nn.functional.linear(x.to(dtype), weight.to(dtype), bias)


def _pretend_that_the_package_is_there() -> None:
    package = types.ModuleType("torch_npu")
    package.__spec__ = importlib.machinery.ModuleSpec("torch_npu", None)
    sys.modules["torch_npu"] = package


_setup_privateuseone_for_python_backend(NAME, _DeviceModule())
_pretend_that_the_package_is_there()
torch.__future__.set_swap_module_params_on_conversion(True)  # parameters stay the same objects
_operations = torch.library.Library("aten", "IMPL")
_operations.impl("empty.memory_format", _empty, "PrivateUse1")
_operations.impl("empty_strided", _empty_strided, "PrivateUse1")
_operations.impl("_copy_from", _copy, "PrivateUse1")
_operations.impl("linear", _autocast_linear, "AutocastPrivateUse1")
_others = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
_others.fallback(torch.library.fallthrough_kernel)
