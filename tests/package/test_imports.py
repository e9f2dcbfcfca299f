"""What importing multitrack loads: no torch, no client, and next to nothing at first."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

from multitrack.trackers import backends, registry

HEAVY = {"torch", "numpy", "accelerate", "transformers", "lightning", "pandas", "matplotlib"}
ALSO_LAZY = {"msgspec", "packaging", "PIL", "rich", "typer"}
BUDGET = 40
"""Modules that ``import multitrack`` may add to those of Python itself."""
ADAPTERS = [
    f"{backends.__name__}.{module.name}" for module in pkgutil.iter_modules(backends.__path__)
]
RECORDERS = [
    f"multitrack.trackers.{name}" for name in ("registry", "run", "courier", "process", "callback")
]


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a statement adds to those of a bare interpreter."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def top_level(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def clients() -> set[str]:
    """Return the import names of every backend's client that is installed."""
    from importlib.metadata import packages_distributions

    wanted = {d.lower() for name in registry.names() for d in registry.load(name).distributions}
    return {
        module
        for module, distributions in packages_distributions().items()
        if wanted & {distribution.lower() for distribution in distributions}
    }


def test_importing_the_package_loads_next_to_nothing():
    modules = loaded_by("import multitrack")
    assert not top_level(modules) & (HEAVY | ALSO_LAZY | clients())
    assert len(modules) <= BUDGET, sorted(modules)


@pytest.mark.parametrize("module", [*RECORDERS, *ADAPTERS, "multitrack.cli"])
def test_no_module_outside_the_trainer_loads_torch_or_a_client(module):
    assert not top_level(loaded_by(f"import {module}")) & (HEAVY | clients())


def test_recording_loads_no_command_line():
    assert not top_level(loaded_by("from multitrack import start_run")) & {"typer", "rich"}


def test_public_names_are_there_and_no_others():
    import multitrack

    assert dir(multitrack) == sorted(multitrack.__all__)
    for name in multitrack.__all__:
        assert getattr(multitrack, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = multitrack.nothing
