"""Begin a run in each kind of child, let it end in each way: ``child_runs.py DIRECTORY``."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress

from multitrack import start_run

ENDINGS = {
    "return": ("finished", None),
    "raise": ("failed", "ValueError: no data"),
    "exit 0": ("finished", None),
    "exit 3": ("failed", "SystemExit: 3"),
    "exit after an error": ("failed", "ZeroDivisionError: division by zero (exit code 1)"),
    "interrupt": ("interrupted", "KeyboardInterrupt: "),
    "said before": ("failed", "too hot"),
}
IN_A_POOL = ("return", "raise", "said before")
"""What leaves its worker alive."""


def train(directory, name, ending):
    run = start_run(dir=directory, name=f"{name}: {ending}", report_to="none")
    run.log({"loss": 0.5}, step=1)
    if ending == "raise":
        raise ValueError("no data")
    if ending.startswith("exit after"):
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            sys.exit(1)
    if ending.startswith("exit"):
        sys.exit(int(ending[-1]))
    if ending == "interrupt":
        raise KeyboardInterrupt
    if ending == "said before":
        run.finish("failed", "too hot")


def nest(directory):
    """Let a forked child of a child log with its parent's run, and leave."""
    run = start_run(dir=directory, name="parent of a fork: return", report_to="none")
    if not (pid := os.fork()):
        run.log({"loss": 0.5}, step=1)
        sys.exit(3)
    os.waitpid(pid, 0)


def main():
    (directory,) = sys.argv[1:]
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        endings = ENDINGS if method == "fork" else ("return", "raise")
        children = [
            context.Process(target=train, args=(directory, method, ending)) for ending in endings
        ]
        for child in children:
            child.start()
        for child in children:
            child.join()
    child = multiprocessing.get_context("fork").Process(target=nest, args=(directory,))
    child.start()
    child.join()
    context = multiprocessing.get_context("fork")
    for ending in IN_A_POOL:
        with context.Pool(1) as pool, suppress(ValueError):
            pool.apply(train, (directory, "pool", ending))
        with ProcessPoolExecutor(1, mp_context=context) as pool, suppress(ValueError):
            pool.submit(train, directory, "executor", ending).result()


if __name__ == "__main__":
    main()
