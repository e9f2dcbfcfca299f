"""Tables as people have them: their names of steps and times, encodings, separators, odd cells."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from migration import START, bring, bring_one, call, of, points, records

from multitrack.migrate.rows.delimited import read_delimited
from multitrack.migrate.rows.row import Row
from multitrack.migrate.rows.survey import STEPS
from multitrack.trackers.history import read_history
from multitrack.trackers.records import End, Metrics, Refused, Text


def values(found):
    """Return ``(step, value)`` of each metric."""
    return {name: [(s, v) for s, _, v in series] for name, series in points(found).items()}


def told(found):
    return {record.key: record.reason for record in of(Refused, found)}


@pytest.fixture
def read(tmp_path):
    """Import one file; return its records and its history."""

    def read(name, content, encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        before = path.read_bytes()
        found, history = bring_one(path, tmp_path / f"runs-{name}")
        assert path.read_bytes() == before
        return found, history

    return read


# -- which column is what ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*STEPS, "Step", " STEP ", "Trainer/Global_Step"])
def test_steps_by_their_usual_names(read, name):
    found, history = read("run.csv", f"{name},loss\n10,1\n20,0.5\n")
    assert values(found) == {"loss": [(10, "1"), (20, "0.5")]}
    assert history.header.name == "run"


def test_the_first_of_several_names_counts(read):
    found, _ = read("run.csv", "epoch,global_step,step,loss\n1,7,100,0.5\n")
    assert values(found) == {"global_step": [(100, "7")], "loss": [(100, "0.5")]}
    assert of(Metrics, found)[0].epoch == 1.0


def test_a_column_of_steps_that_is_empty_is_none(read):
    found, _ = read("run.csv", "timesteps_total,training_iteration,loss\n,3,0.5\n")
    assert values(found) == {"loss": [(3, "0.5")]}


def test_parts_of_epochs_travel_with_counted_rows(read):
    found, _ = read("run.csv", "epoch,loss\n0.5,1\n1.0,2\n")
    assert [(m.step, m.epoch) for m in of(Metrics, found)] == [(0, 0.5), (1, 1.0)]


def test_steps_between_whole_ones_are_multiplied_and_that_is_told(read):
    found, history = read("run.csv", "step,loss\n0.5,1\n1,2\n1.25,3\n")
    assert [step for step, _ in values(found)["loss"]] == [50, 100, 125]
    assert history.params["imported_from"]["step_factor"] == 100


@pytest.mark.parametrize(
    ("name", "cell", "time"),
    [
        ("time", "1700000000.25", START + 0.25),
        ("Timestamp", "1700000000250", START + 0.25),
        ("_timestamp", "1700000000", START),
        ("Wall time", "1700000000.5", START + 0.5),
        ("date", "2023-11-14 22:13:20", START),
        ("time", "2023-11-14T23:13:20.250+01:00", START + 0.25),
        ("time", "2023/11/14 22:13", START - 20),
    ],
)
def test_moments(read, name, cell, time):
    found, history = read("run.csv", f"{name},step,loss\n{cell},1,0.5\n")
    [point] = of(Metrics, found)
    assert (point.time, point.values) == (time, {"loss": 0.5})
    assert history.header.time == time


@pytest.mark.parametrize("name", ["time", "timestamp"])
def test_elapsed_seconds_are_no_date(read, name):
    found, history = read("run.csv", f"epoch,{name},loss\n1,12.5,0.9\n2,25.1,0.8\n")
    assert values(found)[name] == [(1, "12.5"), (2, "25.1")]
    assert history.header.time > START


# -- how it is written ---------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_encodings(read, encoding):
    found, _ = read("run.csv", "step,größe,note\n1,0.5,hé\n", encoding)
    assert values(found) == {"größe": [(1, "0.5")]}
    assert [(text.key, text.text) for text in of(Text, found)] == [("note", "hé")]


def test_a_cut_last_character_does_not_change_the_encoding(read):
    found, _ = read("run.csv", "step,größe,note\n1,0.5,hé\n2,0.25,é".encode()[:-1])
    assert values(found) == {"größe": [(1, "0.5"), (2, "0.25")]}


@pytest.mark.parametrize(
    "text",
    [
        "step\tloss\n1\t0.5\n",
        "step;loss\n1;0,5\n",
        '"step";"loss"\n"1";"0,5"\n',
        "  step ,   loss\r\n  1 ,   0.5\r\n\r\n",
        "step,loss,\n1,0.5,\n",
        "step,loss\n1,0.5\nstep,loss\n",
        "\n\nstep,loss\n1,0.5",
    ],
)
def test_separators(read, text):
    found, _ = read("run.csv", text)
    assert values(found) == {"loss": [(1, "0.5")]}
    assert told(found) == {}


def test_cells_over_several_lines_and_quotes_that_do_not_close(read):
    found, _ = read(
        "run.csv",
        'step,note,loss\n1,"two\nlines, ""quoted""",1\n2,"open,2\n3,5" disk,3\n4,"a,4\n5,b,5\n',
    )
    assert values(found)["loss"] == [(i, str(i)) for i in range(1, 6)]
    assert [t.text for t in of(Text, found)] == [
        'two\nlines, "quoted"',
        '"open',
        '5" disk',
        '"a',
        "b",
    ]


def test_one_odd_cell_costs_that_cell_and_is_told_once_by_row_and_column(read):
    found, _ = read(
        "run.csv",
        "step,time,loss,acc\n"
        "1,1700000000,0.5,0.1\n"
        "2,yesterday,ERR,0.2\n"
        "x,1700000002,0.3,n/a\n"
        "4,1700000003,ERR,0.4,9,10\n"
        "5\n"
        "6,1700000005,0.1,0.6\n",
    )
    assert values(found)["loss"] == [(1, "0.5"), (3, "0.3"), (6, "0.1")]
    assert values(found)["acc"] == [(1, "0.1"), (2, "0.2"), (4, "0.4"), (6, "0.6")]
    assert told(found) == {
        "time": "row 3: 'yesterday' is no time",
        "loss": "row 3: 'ERR' is no number",
        "step": "row 4: 'x' is no step; it is taken as 3",
        "acc": "row 4: 'n/a' is no number",
        "cell 5": "row 5: the first line has no name for '9'",
    }
    assert of(End, found)[0].refused == {"time": 1, "loss": 2, "step": 1, "acc": 1, "cell 5": 1}


def test_an_unreadable_time_costs_no_metric(read):
    found, _ = read("run.csv", "time,loss\n2024-01-01_10-00-00,1\n")
    assert values(found) == {"loss": [(0, "1")]}
    assert "row 2" in told(found)["time"]


def test_headings_alone(read):
    found, _ = read("run.csv", "step".encode("utf-16"))
    assert "there is no row below the headings step" in told(found).popitem()[1]


def test_what_is_empty_or_junk_is_told(tmp_path):
    for name, content in {"a.csv": b"", "b.json": b"{", "c.jsonl": b"\x00\xff\n"}.items():
        (tmp_path / name).write_bytes(content)
        output = call("import", tmp_path / name, "--dir", tmp_path / "runs", code=1)
        assert "1 failed" in output
        assert "Traceback" not in output


# -- JSON ----------------------------------------------------------------------------------------


def test_json_lines_that_are_odd(read):
    found, _ = read(
        "run.json",
        '{"step":1,"loss":NaN,"eval":{"acc":0.5,"note":"x"}}\n'
        '{"step":2,"loss":-Infinity,"list":[1]}\n[1]\n\n'
        '{"step":3,"lo',
    )
    assert values(found) == {"loss": [(1, "nan"), (2, "-inf")], "eval/acc": [(1, "0.5")]}
    assert [(t.key, t.text) for t in of(Text, found)] == [("eval/note", "x")]
    assert told(found)["list"].startswith("line 2: ")
    assert told(found)["rows"] == "line 3 is no JSON object"
    assert of(End, found)[0].refused == {"list": 1, "rows": 2}


@pytest.mark.parametrize(
    "document",
    [
        [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}],
        {"step": [1, 2], "loss": [0.5, 0.25]},
        {"step": {"0": 1, "1": 2}, "loss": {"0": 0.5, "1": 0.25}},
        {"columns": ["step", "loss"], "data": [[1, 0.5], [2, 0.25]]},
        {"history": [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_documents(read, document, indent):
    found, _ = read("run.json", json.dumps(document, indent=indent))
    assert values(found) == {"loss": [(1, "0.5"), (2, "0.25")]}


def test_deeply_nested_json_costs_its_line(read):
    deep = '{"a":' * 5000 + "1" + "}" * 5000
    found, _ = read("run.jsonl", f'{deep}\n{{"step":1,"loss":0.5}}\n')
    assert values(found) == {"loss": [(1, "0.5")]}


# -- what pages download -------------------------------------------------------------------------


def test_tables_of_wandbs_page(tmp_path):
    rows = [["Step", *(f"{run} - {key}{end}" for run in ("a - b", "c") for key in ("loss", "x")
                       for end in ("", "__MIN", "__MAX"))]]  # fmt: skip
    rows += [["0", *"111222", *[""] * 6], ["100", *"333444", *"555666"]]
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    (tmp_path / "wandb_export.csv").write_text(text.getvalue())
    runs = bring(tmp_path / "wandb_export.csv", tmp_path / "runs")
    found = {read_history(run).header.name: read_history(run).series for run in runs}
    assert {
        run: {n: (list(s.steps), list(s.values)) for n, s in x.items()} for run, x in found.items()
    } == {
        "a - b": {"loss": ([0, 100], [1, 3]), "x": ([0, 100], [2, 4])},
        "c": {"loss": ([100], [5]), "x": ([100], [6])},
    }


def test_tables_of_tensorboards_page_are_one_run(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    table = "Wall time,Step,Value\n1700000000.5,0,1\n1700000001.5,10,0.5\n"
    (logs / "run-seed_1-tag-loss.csv").write_text(table)
    (logs / "run-seed_1-tag-loss (1).csv").write_text(table)
    (logs / "run-seed_1-tag-acc.json").write_text("[[1700000002.5, 20, 0.25]]")
    (logs / "run-seed_2-tag-loss.csv").write_text(table)
    runs = {read_history(r).header.name: r for r in bring(logs, tmp_path / "runs")}
    assert runs.keys() == {"seed_1", "seed_2"}
    assert points(records(runs["seed_1"])) == {
        "loss": [(0, 1700000000.5, "1"), (10, 1700000001.5, "0.5")],
        "acc": [(20, 1700000002.5, "0.25")],
    }
    [one] = bring(logs / "run-seed_2-tag-loss.csv", tmp_path / "one")
    assert list(read_history(one).series) == ["loss"]


# -- a folder, and again -------------------------------------------------------------------------


def test_deeper_in_a_tree_only_what_has_steps_is_taken(tmp_path):
    deep = tmp_path / "project" / "logs"
    deep.mkdir(parents=True)
    (deep / "data.csv").write_text("label,text\n1,a\n")
    (deep / "config.json").write_text('{"lr": 0.1}')
    (deep / "a.csv").write_text("Step,loss\n1,0.5\n")
    (deep / "b.tsv").write_text("epoch\tx\n1\t0.5\n")
    (deep / "c.json").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.5}\n')
    (deep / "d.json").write_text('[{"step": 1, "loss": 0.75}]')
    names = [read_history(run).header.name for run in bring(tmp_path / "project", tmp_path / "r")]
    assert sorted(names) == ["a", "b", "c", "d"]


def test_a_file_that_grew_or_moved_is_the_same_run(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("step,loss\n1,0.5\n")
    bring(path, tmp_path / "runs")
    path.write_text("step,loss,acc\n1,0.5,\n2,0.25,0.1\n")
    [run] = bring(path.rename(tmp_path / "moved.csv"), tmp_path / "runs")
    assert list(read_history(run).series["loss"].values) == [0.5, 0.25]


# -- Parquet -------------------------------------------------------------------------------------


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from datetime import datetime, timezone

    from pyarrow import parquet

    moment = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
    rows = [
        {"Step": 1, "time": moment, "loss": 0.5, "note": "x", "more": {"acc": 1.0}},
        {"Step": 2, "time": moment, "loss": math.nan, "note": None, "more": None},
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "run.parquet")
    found, _ = bring_one(tmp_path / "run.parquet", tmp_path / "runs")
    assert values(found) == {"loss": [(1, "0.5"), (2, "nan")], "more/acc": [(1, "1.0")]}
    assert [m.time for m in of(Metrics, found)] == [START, START]
    assert of(Text, found)[0].text == "x"


def test_a_small_parquet_file_stays_small(tmp_path):
    """A dictionary repeats a long text at no cost in the file: nor may it cost memory."""
    pa = pytest.importorskip("pyarrow")
    import resource

    from pyarrow import parquet

    from multitrack.migrate.rows.parquet import records_in

    text = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), ["x" * 2_000_000])
    table = pa.table({"step": list(range(5000)), "note": text})
    parquet.write_table(table, tmp_path / "bomb.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "bomb.parquet").stat().st_size < 60_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(len(row["note"]) > 0 for row in records_in(tmp_path / "bomb.parquet")) == 5000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KB; whole: 10 GB


# -- any table -----------------------------------------------------------------------------------

NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.integers(-(2**40), 2**40))
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=8)
HEADINGS = st.lists(WORDS.map(lambda word: f"m{word}".strip()), min_size=1, max_size=4, unique=True)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_every_good_cell_of_any_table_arrives_with_its_step(tmp_path_factory, data):
    headings = data.draw(HEADINGS)
    separator = data.draw(st.sampled_from(",;\t"))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    step = data.draw(st.sampled_from([*STEPS, "Step"]))
    cells = st.one_of(NUMBERS, NUMBERS, WORDS)
    rows = data.draw(st.lists(st.lists(cells, max_size=len(headings) + 1), max_size=6))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerows([[step, *headings], *([7 * i, *row] for i, row in enumerate(rows))])
    path = tmp_path_factory.mktemp("any") / "run.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    found, _ = bring_one(path, path.parent / "runs")
    expected = {
        (7 * i, name, float(cell))
        for i, row in enumerate(rows)
        for name, cell in zip(headings, row, strict=False)
        if isinstance(cell, int | float)
    }
    arrived = {(m.step, n, float(v)) for m in of(Metrics, found) for n, v in m.values.items()}
    assert expected <= arrived
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200), name=st.sampled_from(["a.csv", "a.jsonl", "a.json"]))
def test_any_bytes_are_no_traceback(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(content)
    where = path.parent / "runs"
    from typer.testing import CliRunner

    from multitrack.cli import app

    result = CliRunner().invoke(app, ["import", str(path), "--dir", str(where)])
    assert result.exit_code in {0, 1}, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


@given(rows=st.lists(st.lists(st.text(max_size=6), min_size=2, max_size=2), max_size=5))
def test_what_csv_writes_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    read = [row.cells for row in read_delimited(path) if isinstance(row, Row)]
    assert len(read) <= len(rows)
