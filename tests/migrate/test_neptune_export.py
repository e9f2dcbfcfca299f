"""Exports of Neptune: tables in the layout of neptune-exporter, with files beside them."""

from __future__ import annotations

import resource
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from migration import call, records

from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history
from multitrack.trackers.records import Histogram, Metrics, Text

pyarrow = pytest.importorskip("pyarrow")
START = 1_700_000_000.0
MOMENT = pyarrow.timestamp("ms", tz="UTC")
SCHEMA = pyarrow.schema(
    [
        ("project_id", pyarrow.string()),
        ("run_id", pyarrow.string()),
        ("attribute_path", pyarrow.string()),
        ("attribute_type", pyarrow.string()),
        ("step", pyarrow.decimal128(18, 6)),
        ("timestamp", MOMENT),
        ("int_value", pyarrow.int64()),
        ("float_value", pyarrow.float64()),
        ("string_value", pyarrow.string()),
        ("bool_value", pyarrow.bool_()),
        ("datetime_value", MOMENT),
        ("string_set_value", pyarrow.list_(pyarrow.string())),
        ("file_value", pyarrow.struct([("path", pyarrow.string())])),
        (
            "histogram_value",
            pyarrow.struct(
                [
                    ("type", pyarrow.string()),
                    ("edges", pyarrow.list_(pyarrow.float64())),
                    ("values", pyarrow.list_(pyarrow.float64())),
                ]
            ),
        ),
    ]
)


def moment(seconds):
    return datetime.fromtimestamp(START + seconds, tz=timezone.utc)


def row(path, kind, step=None, seconds=None, **value):
    found = {"attribute_path": path, "attribute_type": kind, **value}
    if step is not None:
        found["step"] = Decimal(str(step))
    return found | ({} if seconds is None else {"timestamp": moment(seconds)})


def write(root, run_id, *parts):
    from pyarrow import parquet

    folder = root / "data" / "team_vision"
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(parts):
        whole = [{"project_id": "team/vision", "run_id": run_id} | found for found in rows]
        table = pyarrow.Table.from_pylist(whole, schema=SCHEMA)
        parquet.write_table(table, folder / f"{run_id}_part_{number}.parquet")


def test_a_run(tmp_path):
    own = [
        row("sys/creation_time", "datetime", datetime_value=moment(0)),
        row("sys/name", "string", string_value="n1"),
        row("sys/tags", "string_set", string_set_value=["t1", "t2"]),
        row("sys/failed", "bool", bool_value=True),
        row("params/lr", "float", float_value=0.1),
        row("params/layers", "int", int_value=4),
        row("params/api_key", "string", string_value="s3cret"),
        row("params/when", "datetime", datetime_value=moment(1)),
    ]
    losses = [
        row("loss", "float_series", step, step + 1, float_value=1 / (step + 2))
        for step in range(30)
    ]
    accuracies = [row("acc", "float_series", 3, 4, float_value=0.5)]
    others = [
        row("notes", "string_series", 5, 6, string_value="hello"),
        row(
            "weights",
            "histogram_series",
            6,
            7,
            histogram_value={"type": "COUNTING", "edges": [0.0, 0.5, 1.0], "values": [1.0, 2.0]},
        ),
        row("model", "file", file_value={"path": "team_vision/R-1/model.bin"}),
        row("lost", "file", file_value={"path": "team_vision/R-1/lost.bin"}),
    ]
    # of several parts, the tenth is the last
    parts = [own, losses[:10], losses[10:], accuracies, *([] for _ in range(6)), others]
    write(tmp_path, "R-1", *parts)
    files = tmp_path / "files" / "team_vision" / "R-1"
    files.mkdir(parents=True)
    (files / "model.bin").write_bytes(b"x" * 1000)
    call("import", tmp_path, "--dir", tmp_path / "runs")
    [folder] = find_runs(tmp_path / "runs")
    history, found = read_history(folder), records(folder)
    header = history.header
    assert (header.project, header.name, header.time) == ("team/vision", "n1", START)
    assert (history.status, history.updated) == ("failed", START + 30)
    assert history.params.pop("imported_from")["id"] == "team/vision/R-1"
    params = {"lr": 0.1, "layers": 4, "api_key": "<redacted>", "when": moment(1).isoformat()}
    assert history.params == {"params": params}
    assert history.tags == {"t1": "", "t2": ""}
    points = [(r.step, r.time, r.values) for r in found if isinstance(r, Metrics)]
    assert len(points) == 30
    assert points[3] == (3, START + 4, {"loss": 0.2, "acc": 0.5})
    assert [step for step, _, _ in points] == list(range(30))
    [text] = [r for r in found if isinstance(r, Text)]
    assert (text.key, text.text, text.step, text.time) == ("notes", "hello", 5, START + 6)
    [histogram] = [r for r in found if isinstance(r, Histogram)]
    assert (histogram.edges, histogram.counts) == ([0.0, 0.5, 1.0], [1.0, 2.0])
    [artifact] = history.artifacts
    assert (artifact.name, artifact.files[0].size) == ("model", 1000)
    assert list(history.refused) == ["lost"]
    output = call("import", tmp_path / "data", "--dir", tmp_path / "runs")
    assert "1 run: 1 there already." in output


def test_steps_between_whole_numbers(tmp_path):
    """They are multiplied until all are whole, and the config says by what."""
    rows = [row("loss", "float_series", step, 1, float_value=1.0) for step in ("0.25", "1", "2.5")]
    write(tmp_path, "R-2", rows)
    call("import", tmp_path, "--dir", tmp_path / "runs")
    history = read_history(find_runs(tmp_path / "runs")[0])
    assert list(history.series["loss"].steps) == [25, 100, 250]
    assert history.params["imported_from"]["step_factor"] == 100


def test_a_table_of_another_kind(tmp_path):
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "x_part_0.parquet")
    output = call("import", tmp_path, "--dir", tmp_path / "runs", code=1)
    assert "has no column attribute_path" in output


def test_a_long_text_for_many_rows_takes_little_memory_and_room(tmp_path):
    """A file of some kilobytes can hold gigabytes of text, once for thousands of rows."""
    from pyarrow import parquet

    rows = [row("notes", "string_series", step, 1) for step in range(600)]
    whole = [{"project_id": "p", "run_id": "x"} | found for found in rows]
    table = pyarrow.Table.from_pylist(whole, schema=SCHEMA)
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 600), ["x" * 4_000_000])
    table = table.set_column(table.schema.get_field_index("string_value"), "string_value", text)
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "x_part_0.parquet"
    parquet.write_table(table, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 20_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    output = call("import", tmp_path, "--dir", tmp_path / "runs")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 500_000, f"{grown:,} KiB"
    assert "1 run: 1 imported." in output
    texts = [r.text for r in records(find_runs(tmp_path / "runs")[0]) if isinstance(r, Text)]
    assert len(texts) == 600
    assert texts[0].endswith("… (4,000,000 characters)")


@pytest.mark.parametrize("place", ["../secret.txt", "/etc/passwd"])
def test_a_path_that_leads_elsewhere_is_not_read(tmp_path, place):
    (tmp_path / "secret.txt").write_text("s3cret")
    (tmp_path / "files").mkdir()
    write(tmp_path, "R-1", [row("stolen", "file", file_value={"path": place})])
    call("import", tmp_path, "--dir", tmp_path / "runs")
    history = read_history(find_runs(tmp_path / "runs")[0])
    assert "--also" in history.refused["stolen"]
    assert not history.artifacts
