"""What ``fsdp_config`` may say, and what accelerate calls it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accelerate.utils import FullyShardedDataParallelPlugin

_OTHER_NAMES = {
    "version": "fsdp_version",
    "transformer_layer_cls_to_wrap": "transformer_cls_names_to_wrap",
}
"""Names of transformers, and accelerate's."""

_NAMES = set(FullyShardedDataParallelPlugin.__dataclass_fields__)

_DEFAULTS = {
    "fsdp_version": 2,
    # Shards layer by layer what the model itself names as its layers, as transformers does: as
    # one shard, it would be whole on every device in each forward pass.
    "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
}


def plugin_options(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments of accelerate's plugin, by its own names.

    Args:
        config: arguments by accelerate's names or by those of transformers, which may begin
            with ``fsdp_``.
    """
    return {**_DEFAULTS, **{_name(key): value for key, value in (config or {}).items()}}


def sharding_problems(config: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield what is wrong with a configuration, one sentence each."""
    options = plugin_options(config)
    if unknown := sorted(options.keys() - _NAMES):
        yield f"fsdp_config may hold {', '.join(sorted(_NAMES))}, not {', '.join(unknown)}"
    if options["fsdp_version"] not in {2, "2"}:
        yield f"fsdp_config: version may be 2 alone, not {options['fsdp_version']!r}"


def _name(key: str) -> str:
    short = key.removeprefix("fsdp_")
    return _OTHER_NAMES.get(short, short)
