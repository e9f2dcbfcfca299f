"""Time and throughput."""

from __future__ import annotations

import time


def speed_metrics(
    split: str,
    start_time: float,
    *,
    samples: float | None = None,
    steps: int | None = None,
    tokens: int | None = None,
) -> dict[str, float]:
    """Return the seconds since a moment, and how many of each thing were done in a second.

    Args:
        split: the first part of the names, such as ``"train"``.
        start_time: the moment, from ``time.time()``.
        samples: samples done since then.
        steps: steps done since then.
        tokens: tokens done since then.

    >>> list(speed_metrics("eval", time.time() - 1, samples=100))
    ['eval_runtime', 'eval_samples_per_second']
    """
    runtime = max(time.time() - start_time, 1e-9)
    counts = {"samples": samples, "steps": steps, "tokens": tokens}
    rates = {
        f"{split}_{name}_per_second": round(count / runtime, 3)
        for name, count in counts.items()
        if count is not None
    }
    return {f"{split}_runtime": round(runtime, 4), **rates}
