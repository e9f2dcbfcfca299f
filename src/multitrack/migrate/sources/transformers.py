"""transformers: the states of its Trainer, in the folder of a training and of its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from multitrack.migrate.rows.jsons import load
from multitrack.migrate.rows.pickles import load_torch
from multitrack.migrate.rows.records import History
from multitrack.migrate.rows.row import Fault, Rows, row_of
from multitrack.migrate.rows.run import Beside, RowsRun
from multitrack.migrate.source import Place, Reach, Source, SourceError, SourceRun, Store
from multitrack.trackers.callback import SUMMARY, rename

STATE, ARGUMENTS, MODEL = "trainer_state.json", "training_args.bin", "config.json"
RESULTS = ("all_results.json", "train_results.json", "eval_results.json", "predict_results.json")
_CHECKPOINT = re.compile(r"checkpoint-\d+")
SINGLE = ("best_metric", "best_global_step", "best_model_checkpoint", "total_flos")
"""What a state says once."""
SETTINGS = ("max_steps", "num_train_epochs", "train_batch_size", "trial_name", "trial_params")
"""What a state says of the training's arguments."""


class TransformersSource(Source):
    """The folder of a training: the newest of its states has all rows."""

    name: ClassVar[str] = "transformers"
    distributions: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""

    def stores(self, place: Place) -> Iterator[Store]:
        """Tell whether a folder is that of a training, or of one checkpoint."""
        checkpoints = {
            name
            for name in place.folders
            if _CHECKPOINT.fullmatch(name) and (place.path / name / STATE).is_file()
        }
        if STATE in place.files or checkpoints:
            takes = {STATE, ARGUMENTS, MODEL, *RESULTS, *checkpoints}
            path = place.path / STATE if place.is_one_file else place.path
            yield Store(path, frozenset(takes))

    def find(self, location: str, reach: Reach) -> Iterator[SourceRun]:
        """Yield the one run of a folder."""
        path = reach.place(location)
        states = [path] if path.is_file() else sorted(path.glob(f"checkpoint-*/{STATE}"))
        if path.is_dir() and (path / STATE).is_file():
            states.append(path / STATE)
        newest = max(map(partial(_read_state, reach), states), key=lambda found: found[0])
        yield _run(*newest[1:], reach)


def _read_state(reach: Reach, path: Path) -> tuple[tuple[int, bool], Path, dict[str, Any]]:
    """Return how far a state is, where it lies, and what it says."""
    state = load(reach.file(path))
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise SourceError(f"{path} has no list log_history")
    step = state.get("global_step")
    is_whole = not _CHECKPOINT.fullmatch(path.parent.name)
    return (step if isinstance(step, int) else 0, is_whole), path, state


def _run(path: Path, state: dict[str, Any], reach: Reach) -> RowsRun:
    is_checkpoint = _CHECKPOINT.fullmatch(path.parent.name)
    folder = path.parent.parent if is_checkpoint else path.parent
    history = History.of(partial(_rows, state["log_history"]), path, reach.name(folder))
    return RowsRun(history, partial(_look, folder, path.parent, state, reach), reach)


def _rows(log_history: list[Any]) -> Rows:
    for number, row in enumerate(log_history, start=1):
        if not isinstance(row, dict):
            yield Fault("rows", f"row {number} of log_history is no object")
            continue
        own = {name: row[name] for name in ("step", "epoch") if name in row}
        logs = {name: cell for name, cell in row.items() if name != "step"}
        yield row_of(f"row {number} of log_history", own | rename(logs))


def _look(folder: Path, where: Path, state: dict[str, Any], reach: Reach) -> Beside:
    """Look at what lies beside a state, first where it lies itself."""
    beside = Beside(name=folder.name)

    def read(name: str, read_file: Any) -> dict[str, Any]:
        places = [place / name for place in (where, folder) if (place / name).is_file()]
        found = beside.read(name, lambda: read_file(reach.file(places[0]))) if places else {}
        return dict(found)

    settings = {name: state[name] for name in SETTINGS if state.get(name) is not None}
    arguments = read(ARGUMENTS, load_torch)
    beside.params = {"args": settings | arguments, "model": read(MODEL, load)}
    beside.params = {name: group for name, group in beside.params.items() if group}
    beside.summary = {f"train/{name}": state[name] for name in SINGLE if _is_single(state, name)}
    rows = [row for row in state["log_history"] if isinstance(row, dict)]
    for found in (*rows, *(read(name, load) for name in RESULTS)):
        own = {name: found[name] for name in found if name in SUMMARY or found not in rows}
        beside.summary |= {n: v for n, v in rename(own).items() if isinstance(v, str | int | float)}
    has_ended = any("train_runtime" in row for row in rows)
    steps = state.get("global_step"), state.get("max_steps")
    beside.is_running = not has_ended and steps[0] != steps[1]
    if names := sorted(p.name for p in folder.glob("checkpoint-*") if p.is_dir()):
        beside.refused["checkpoints"] = f"checkpoints stay where they are: {', '.join(names)}"
    return beside


def _is_single(state: dict[str, Any], name: str) -> bool:
    return isinstance(state.get(name), str | int | float)
