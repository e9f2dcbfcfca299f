"""Cells of a notebook: what a run shows there, and runs that a cell has left when it runs again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from multitrack.trackers.folder import CourierState
from multitrack.trackers.protocol import Attachment

CELLS = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in json.loads(sys.argv[1]):
    shell.run_cell(cell, store_history=True)
"""
START = "multitrack.start_run('digits', {!r}, report_to='none', dir='runs')"
STATUSES = "print([(name, run.status) for name, run in runs.items()])"


@pytest.fixture
def notebook(tmp_path):
    """Run cells in IPython without a kernel, and return what they print."""
    pytest.importorskip("IPython")

    def run(*cells, program=CELLS):
        command = [sys.executable, "-c", program, json.dumps(cells)]
        environ = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython"), "NO_COLOR": "1"}
        return subprocess.run(
            command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
        )

    return run


def test_a_cell_that_runs_again_ends_the_run_before(notebook):
    cell = f"runs[len(runs)] = {START.format('again')}"
    done = notebook("import multitrack; runs = {}", cell, cell, STATUSES, "runs[1].finish()")
    assert "[(0, 'finished'), (1, 'running')]" in done.stdout
    assert re.findall(r"Run \S+ of an earlier cell has ended, as finished", done.stderr) != []
    assert done.stderr.count("of an earlier cell") == 1


def test_a_run_whose_cell_was_interrupted_is_ended_as_that(notebook):
    cell = f"runs[len(runs)] = {START.format('again')}\nif len(runs) < 3: raise {{}}"
    cells = (cell.format("KeyboardInterrupt"), cell.format("ValueError('odd')"), cell.format("0"))
    done = notebook("import multitrack; runs = {}", *cells, STATUSES)
    assert "[(0, 'interrupted'), (1, 'failed'), (2, 'running')]" in done.stdout


def test_several_runs_of_one_cell_stay_side_by_side(notebook):
    cell = "\n".join(f"runs[{name!r}] = {START.format(name)}" for name in "ab")
    done = notebook("import multitrack; runs = {}", cell, STATUSES, "runs['a'].log({'x': 1})")
    assert "[('a', 'running'), ('b', 'running')]" in done.stdout
    assert "earlier cell" not in done.stderr


def test_what_is_logged_to_a_run_that_ended_belongs_to_it(notebook):
    cells = [f"runs[{name!r}] = {START.format(name)}; runs['a'].log({{'x': 1}})" for name in "ab"]
    done = notebook("import multitrack; runs = {}", *cells, STATUSES)
    assert "[('a', 'running'), ('b', 'running')]" in done.stdout


def test_the_same_run_may_be_begun_again(notebook):
    cell = (
        "run = multitrack.start_run(run_id='same', report_to='none', dir='runs'); run.log({'x': 1})"
    )
    done = notebook("import multitrack", cell, cell, "print(run.status, run.folder.exists)")
    assert "running True" in done.stdout
    assert "Error" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "import json, sys\nspace = {}\nfor cell in json.loads(sys.argv[1]): exec(cell, space)",
        CELLS.replace("core.interactiveshell", "terminal.interactiveshell").replace(
            "InteractiveShell", "TerminalInteractiveShell"
        ),
    ],
    ids=["a script", "a terminal"],
)
def test_elsewhere_runs_are_left_open(notebook, program):
    cell = f"runs[len(runs)] = {START.format('again')}"
    done = notebook("import multitrack; runs = {}", cell, cell, STATUSES, program=program)
    assert "[(0, 'running'), (1, 'running')]" in done.stdout
    assert "earlier cell" not in done.stderr


def test_threads_of_a_cell_end_no_run(notebook):
    cell = f"""
import threading
def work(name): runs[name] = {START.format("thread")}
thread = threading.Thread(target=work, args=[len(runs)]); thread.start(); thread.join()
"""
    done = notebook("import multitrack; runs = {}", cell, cell, STATUSES)
    assert "[(0, 'running'), (1, 'running')]" in done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_of_a_cell_ends_no_run(notebook):
    first = f"runs[0] = {START.format('first')}"
    child = (
        f"import os\nif not os.fork():\n  {START.format('own')}.finish(quiet=True)\n  os._exit(0)"
    )
    done = notebook("import multitrack; runs = {}", first, f"{child}\nos.wait()", STATUSES)
    assert "[(0, 'running')]" in done.stdout
    assert "earlier cell" not in done.stderr


def test_a_cell_shows_the_card_of_its_last_value(notebook):
    shows = "print(sorted(get_ipython().display_formatter.format(run)[0]))"
    done = notebook("import multitrack", f"run = {START.format('card')}", shows)
    assert "['text/html', 'text/plain']" in done.stdout


class Tags(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&amp;\n"


@pytest.mark.parametrize(
    "url", ["https://tracker/<run>?a=1&b=\"2'", "javascript:alert(1)", HOSTILE]
)
def test_the_card_escapes_everything(start, url):
    run = start(project=HOSTILE, name=HOSTILE, report_to="notebook", delivery="later")
    run.log({"loss": 1.0})
    courier = run.folder.courier("notebook")
    courier.create()
    courier.write_state(
        CourierState(offset=10, phase="retrying", attachment=Attachment(id=HOSTILE, url=url))
    )
    page = Tags(run._repr_html_())
    assert set(page.tags) <= {"div", "b", "span", "table", "tr", "td", "progress", "a", "code"}
    links = [value for name, value in page.attributes if name == "href"]
    assert links == ([url] if url.startswith("https:") else [])
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "alert(1)" in page.text
    assert run.id in page.text


def test_the_card_says_how_far_each_tracker_is(start, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTEBOOK_DIR", str(tmp_path))
    run = start(project="digits", name="first", report_to="notebook", delivery="inline")
    run.log({"loss": 1.0}, step=1)
    assert "up to date" in run._repr_html_()
    run.finish(quiet=True)
    page = Tags(run._repr_html_())
    assert ("value", "100") in page.attributes
    for word in ("digits / ", "first", "finished", "notebook", "delivered", "100 %"):
        assert word in page.text


def test_repr_says_id_project_status_and_trackers(start):
    run = start(project="digits", report_to="notebook", delivery="later")
    told = f"<multitrack.Run '{run.id}', 'digits', running, trackers: notebook>"
    assert repr(run) == str(run) == told
    run.finish("failed", "no", quiet=True)
    assert "failed" in repr(run)
    assert repr(start(report_to="none", delivery="later")).endswith("running, trackers: none>")


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00", b"[]\n", b'{"kind": "header"}\n'])
def test_a_run_whose_folder_is_gone_or_broken_is_shown(start, content):
    run = start(project="digits", report_to="none", delivery="later")
    run.folder.journal.unlink()
    if content is not None:
        run.folder.journal.write_bytes(content)
    assert repr(run) == f"<multitrack.Run '{run.id}', running>"
    assert run.id in Tags(run._repr_html_()).text
