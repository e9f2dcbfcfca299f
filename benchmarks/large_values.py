"""What one call of `run.log_params` with large values costs the caller.

    python benchmarks/large_values.py

Each case is logged as often as there are rounds, to a run that reports to no tracker; the first
round is not counted. Times are medians over the rounds, in milliseconds, with their range.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from multitrack import start_run

CASES = {
    "a config of 10,000 values": {
        f"group{i}": {f"param{j}": "value" if j % 2 else 0.5 for j in range(100)}
        for i in range(100)
    },
    "450,000 names": {f"group{i}/param{i}": i * 0.5 for i in range(450_000)},
    "a text of 50 MB": {"text": ("the quick brown fox, 42 times. " * 2_000_000)[:50_000_000]},
    "a list of 5,000,000 numbers": {"numbers": list(range(5_000_000))},
}


def measure(params, rounds):
    times = []
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            run = start_run(dir=Path(folder), report_to="none", delivery="later")
            start = time.perf_counter()
            run.log_params(params)
            times.append((time.perf_counter() - start) * 1000)
            run.finish(quiet=True)
    return times[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print("| what | milliseconds |\n| --- | --- |")
    for name, params in CASES.items():
        times = measure(params, rounds)
        middle, least, most = statistics.median(times), min(times), max(times)
        print(f"| {name} | {middle:,.0f} ({least:,.0f} to {most:,.0f}) |")


if __name__ == "__main__":
    main()
