"""A Python whose program is a real Flyte task: ``python flyte_task.py -m MODULE ARGUMENT…``.

Or ``-c CODE ARGUMENT…``.
"""

import runpy
import sys

from flytekit import task, workflow


@task(enable_deck=True, deck_fields=())
def train(words: list[str]) -> int:
    """Run a module or code as a program; return its exit code."""
    kind, program, *_ = words
    sys.argv = words[1:] if kind == "-m" else ["-c", *words[2:]]
    try:
        if kind == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            exec(program, {"__name__": "__main__"})
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
            return 1
        return end.code or 0
    return 0


@workflow
def training(words: list[str]) -> int:
    """One task, on this machine."""
    return train(words=words)


if __name__ == "__main__":
    sys.exit(training(words=sys.argv[1:]))
