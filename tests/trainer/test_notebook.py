"""What a notebook shows of a training, in IPython without a kernel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from multitrack.trainer.callbacks.notebook import MOST_ROWS, Bar, Table

PROGRAM = """
import json, sys
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

shown = {}

class Publisher(DisplayPublisher):
    def publish(self, data, *, transient=None, update=False, **kwargs):
        place = shown.setdefault((transient or {}).get("display_id"), [])
        place.append(data.get("text/html"))

shell = InteractiveShell.instance()
shell.display_pub = Publisher(parent=shell)
for cell in json.loads(sys.argv[1]):
    shell.run_cell(cell, store_history=True)
print(json.dumps(list(shown.values())), file=sys.__stdout__)
"""
SETUP = """
import tiny
from multitrack.trainer import ProgressCallback, Trainer, TrainingArguments

def trainer(metrics=None, **options):
    options = {"max_steps": 6, "logging_steps": 2, "save_strategy": "no", **options}
    sets = {"one": tiny.samples(8), "two": tiny.samples(4)} if metrics else tiny.samples(8)
    args = TrainingArguments("out", use_cpu=True, **options)
    return Trainer(tiny.TinyModel(), args, train_dataset=tiny.samples(44), eval_dataset=sets,
                   compute_metrics=metrics)
"""


@pytest.fixture
def outputs(tmp_path: Path) -> Any:
    """Run cells, and return what each output showed, one after the other."""
    pytest.importorskip("IPython")

    def run(*cells: str) -> list[list[str]]:
        path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        environ = os.environ | {
            "IPYTHONDIR": str(tmp_path / "ipython"),
            "PYTHONPATH": os.pathsep.join(path),
        }
        command = [sys.executable, "-c", PROGRAM, json.dumps([SETUP, *cells])]
        done = subprocess.run(
            command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        shown: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
        return shown

    return run


def cells_of(html: str) -> list[list[str]]:
    """Return the rows of the table in a page."""
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_a_training_is_a_bar_and_a_table(outputs: Any) -> None:
    metrics = "lambda _: {'f1': 0.5, '<b>': 1}"
    logged, evaluated, alone, failed, quiet = outputs(
        "plain = trainer(); plain.train()",
        f"trainer({metrics}, eval_strategy='steps', eval_steps=3).train()",
        "plain.predict(tiny.samples(8)); plain.evaluate()",
        "trainer(lambda _: 1 / 0, eval_strategy='steps', eval_steps=4).train()",
        "t = trainer(); t.remove_callback(ProgressCallback); t.train(); display('none')",
    )
    rows = cells_of(logged[-1])
    assert [row[0] for row in rows] == ["Step", "2", "4", "6"]
    assert rows[0] == ["Step", "Training Loss"]
    assert "6/6" in logged[-1]
    assert 'max="6" value="6"' in logged[-1]
    rows = cells_of(evaluated[-1])
    names = ["F1", "&lt;B&gt;", "Loss"]
    each = [f"{one} {name}" for one in ("One", "Two") for name in names]
    assert rows[0] == ["Step", "Training Loss", *each]
    assert [row[0] for row in rows[1:]] == ["3", "6"]
    assert all(all(row) for row in rows)
    assert evaluated[-1].count("<progress") == 1
    assert cells_of(alone[-1])[0] == ["Step", "Validation Loss"]
    assert "4/6" in failed[-1]
    assert quiet == [None]


def test_a_bar_goes_on_where_a_resumed_training_begins() -> None:
    bar = Bar(10, start=4, label="a<b")
    assert "4/10, 0:00, a&lt;b" in bar.html()
    bar.done = 10
    assert "&lt;" not in bar.html().replace("a&lt;b", "")
    assert Bar(0).html()


def test_a_long_table_is_shown_without_its_beginning() -> None:
    table = Table("Step")
    assert not table.html()
    for step in range(MOST_ROWS + 5):
        table.write(step, {"Loss": step})
    table.write(MOST_ROWS + 4, {"More": "<i>"})
    assert "5 earlier rows" in table.html()
    assert cells_of(table.html())[1] == ["5", "5", ""]
    assert cells_of(table.html())[-1] == ["104", "104", "&lt;i&gt;"]
