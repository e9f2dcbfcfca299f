"""What it costs to look for secrets: in texts, in a config, and in the names of metrics.

    python benchmarks/redaction.py

Texts are of 2 MB each, repeated from what the project's own documentation says, from a log of
JSON lines, from letters without a space, and from the beginnings of keys that are none.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from machine import spread
from rich.console import Console
from rich.table import Table

from multitrack.trackers.records import Metrics
from multitrack.trackers.redact import Redactor, redact_text, redact_tree

DOCS = Path(__file__).parents[1] / "docs"
SIZE = 2_000_000
LINE = '{"step": 17, "loss": 0.5123, "grad_norm": 1.5, "tokens": 512, "name": "layer.0.weight"}\n'


def texts() -> dict[str, str]:
    """Return the texts by name."""
    prose = "".join(page.read_text() for page in sorted(DOCS.glob("*.md")))
    plain = prose.encode("ascii", "ignore").decode()
    return {
        "prose": _repeated(plain),
        "prose with letters beyond ASCII": _repeated(prose + "\u6a21"),
        "JSON lines": _repeated(LINE),
        "no space at all": "x" * SIZE,
        "beginnings of keys": _repeated("sk-eyJ-"),
        "names without values": _repeated("token: "),
    }


def _repeated(text: str) -> str:
    return (text * (SIZE // len(text) + 1))[:SIZE]


def config() -> dict[str, dict[str, object]]:
    """Return a config of 10,000 values."""
    values = [0.1, 5, True, None, "adamw", "some/path/to/file.bin", "float32", "warmup of 100"]
    group = {f"param_{i}": values[i % len(values)] for i in range(100)}
    return {f"group_{i}": dict(group) for i in range(100)}


def seconds(call: Callable[[], object], times: int = 1) -> float:
    """Return how much of a processor's time one call takes: others may be at work, too."""
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    table = Table("what", "cost")
    for name, text in texts().items():
        rates = [SIZE / 1e6 / seconds(lambda t=text: redact_text(t)) for _ in range(rounds)]
        table.add_row(name, f"{spread(rates)} MB/s")
    tree = config()
    times = [1e3 * seconds(lambda: redact_tree(tree)) for _ in range(rounds)]
    table.add_row("a config of 10,000 values", f"{spread(times)} ms")
    redactor, record = Redactor(), Metrics(time=0.0, step=1, values=dict.fromkeys("abcde", 0.5))
    times = [1e6 * seconds(lambda: redactor.redact(record), 100_000) for _ in range(rounds)]
    table.add_row("five scalars, their names known", f"{spread(times)} \u00b5s")
    Console().print(table)


if __name__ == "__main__":
    main()
