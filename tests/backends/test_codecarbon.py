"""CodeCarbon: what it measures stands in the run, in its own file, and with other trackers."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from multitrack_notebook import read_notebook

from multitrack import start_run
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.journal import Entry, JournalReader
from multitrack.trackers.process import DELIVERED, spawn
from multitrack.trackers.protocol import RECORD_METHODS, Gap
from multitrack.trackers.records import End, Metrics, Summary
from multitrack.trackers.testing.adapter_cases import AdapterCases

ENERGY = "codecarbon/energy_kwh"
KG = "codecarbon/emissions_kg"


class TestAdapter(AdapterCases):
    tracker = "codecarbon"
    gaps = dict.fromkeys(RECORD_METHODS, Gap.NEVER)


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.lower().startswith(("codecarbon_", "multitrack_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODECARBON_COUNTRY_ISO_CODE", "FRA")
    monkeypatch.setenv("CODECARBON_MEASURE_POWER_SECS", "0.2")


def records(folder, *types):
    with closing(JournalReader(RunFolder(folder).journal)) as reader:
        found = []
        while batch := reader.read():
            found += [entry.record for entry in batch if isinstance(entry, Entry)]
    return [record for record in found if not types or isinstance(record, types)]


def measured(folder, name=ENERGY):
    return [r.values[name] for r in records(folder, Metrics) if name in r.values]


def await_measured(folder, count=3):
    deadline = time.monotonic() + 60
    while len(measured(folder)) < count:
        assert time.monotonic() < deadline, "nothing is measured"
        time.sleep(0.05)


def rows(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def train(step=7, count=3, **options):
    options = {"report_to": "codecarbon", "dir": "runs", "delivery": "later"} | options
    run = start_run(**options)
    run.log({"loss": 0.5}, step=step)
    await_measured(run.folder.path, count)
    reports = run.finish(quiet=True, timeout=60)
    return run, reports


@pytest.mark.parametrize("delivery", ["process", "thread", "inline", "later"])
def test_what_is_measured_is_in_the_run(delivery, capfd):
    run, [report] = train(delivery=delivery, project="digits")
    assert (report.delivered, report.refused) == (True, 0), report
    found = measured(run.folder.path)
    assert found == sorted(found)
    assert found[-1] > 0
    points = [r for r in records(run.folder.path, Metrics) if ENERGY in r.values]
    assert {point.step for point in points[1:]} == {7}
    *_, summary, end = records(run.folder.path)
    assert isinstance(end, End)
    assert isinstance(summary, Summary)
    [row] = rows(run.folder.path / "couriers" / "codecarbon" / "emissions.csv")
    assert float(row["energy_consumed"]) == summary.values[ENERGY] == found[-1]
    assert float(row["emissions"]) == summary.values[KG] > 0
    parts = [summary.values[f"codecarbon/{part}_energy_kwh"] for part in ("cpu", "gpu", "ram")]
    assert sum(parts) == pytest.approx(found[-1])
    assert (row["project_name"], summary.values["codecarbon/country_name"]) == ("digits", "France")
    assert capfd.readouterr() == ("", "")


def test_other_trackers_get_it(monkeypatch):
    monkeypatch.setenv("NOTEBOOK_DIR", "notebooks")
    run, reports = train(report_to=["codecarbon", "notebook"], delivery="process")
    assert all(report.delivered for report in reports), reports
    lines = read_notebook(Path("notebooks"), run.id)
    points = [line["values"] for line in lines if line["kind"] == "metrics"]
    assert [values[ENERGY] for values in points if ENERGY in values] == measured(run.folder.path)


def test_a_run_that_goes_on_adds_up():
    run, _ = train()
    first = records(run.folder.path, Summary)[-1].values
    run, _ = train(step=8, run_id=run.id, count=len(measured(run.folder.path)) + 3)
    second = records(run.folder.path, Summary)[-1].values
    before, after = rows(run.folder.path / "couriers" / "codecarbon" / "emissions.csv")
    assert second[ENERGY] > first[ENERGY]
    total = sum(float(row["energy_consumed"]) for row in (before, after))
    assert second[ENERGY] == pytest.approx(total)
    found = measured(run.folder.path)
    assert found == sorted(found)


def test_killed_trainer_keeps_what_was_measured_and_sync_measures_nothing(tmp_path):
    code = (
        "from multitrack import start_run; import time\n"
        "run = start_run(report_to='codecarbon', dir='runs'); print(run.folder.path, flush=True)\n"
        "time.sleep(300)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as trainer:
        folder = trainer.stdout.readline().strip()
        await_measured(folder)
        trainer.send_signal(signal.SIGKILL)
    before = Path(folder, "journal.jsonl").read_bytes()
    assert len(measured(folder)) >= 3
    assert spawn(RunFolder(folder), "codecarbon").wait(60) == DELIVERED
    assert Path(folder, "journal.jsonl").read_bytes() == before
    totals = json.loads(Path(folder, "couriers", "codecarbon", "totals.json").read_text())
    assert totals[ENERGY] >= measured(folder)[-1]


def test_energy_alone_without_a_country(monkeypatch, caplog):
    monkeypatch.delenv("CODECARBON_COUNTRY_ISO_CODE")
    run, _ = train()
    assert measured(run.folder.path)[-1] > 0
    assert not any(KG in r.values for r in records(run.folder.path, Metrics, Summary))
    assert "CODECARBON_COUNTRY_ISO_CODE=FRA" in caplog.text


def test_a_country_that_is_none_waits_for_a_person(monkeypatch):
    monkeypatch.setenv("CODECARBON_COUNTRY_ISO_CODE", "XXX")
    run = start_run(report_to="codecarbon", dir="runs")
    courier = run.folder.courier("codecarbon")
    deadline = time.monotonic() + 60
    while courier.read_state().phase != "parked":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "'XXX'" in courier.read_state().message
    [report] = run.finish(quiet=True, timeout=60)
    assert "'XXX'" in report.message


def test_the_clients_own_variables_and_file_keep_their_meaning(tmp_path, monkeypatch):
    monkeypatch.setenv("CODECARBON_OUTPUT_DIR", str(tmp_path / "carbon"))
    monkeypatch.setenv("codecarbon_output_file", "mine.csv")
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nproject_name = of the file\ntracking_mode = process\n"
    )
    run, _ = train()
    [row] = rows(tmp_path / "carbon" / "mine.csv")
    assert (row["project_name"], row["tracking_mode"]) == ("of the file", "process")
    assert not (run.folder.path / "couriers" / "codecarbon" / "emissions.csv").exists()


@pytest.mark.parametrize("where", ["variable", "file"])
def test_the_runs_project_beats_what_the_client_reads(tmp_path, monkeypatch, where):
    if where == "variable":
        monkeypatch.setenv("CODECARBON_PROJECT_NAME", "elsewhere")
    else:
        own = "[codecarbon]\nproject_name = elsewhere\n"
        (tmp_path / ".codecarbon.config").write_text(own)
    run, _ = train(project="digits")
    [row] = rows(run.folder.path / "couriers" / "codecarbon" / "emissions.csv")
    assert row["project_name"] == "digits"


def test_a_folder_named_in_the_clients_file(tmp_path):
    (tmp_path / ".codecarbon.config").write_text("[codecarbon]\noutput_dir = of the file\n")
    _, [report] = train()
    assert len(rows(tmp_path / "of the file" / "emissions.csv")) == 1
    assert report.url == (tmp_path / "of the file").as_uri()


def test_training_that_fails_has_its_figures_before_the_outcome():
    code = (
        "from multitrack import start_run; import time\n"
        "run = start_run(report_to='codecarbon', dir='runs'); print(run.folder.path, flush=True)\n"
        "while 'emissions' + '_kg' not in run.folder.journal.read_text():\n    time.sleep(0.1)\n"
        "1 / 0"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=90)
    *_, summary, end = records(done.stdout.strip())
    assert (end.status, summary.values[KG] > 0) == ("failed", True)
    assert "codecarbon: delivered" in done.stderr


def test_nothing_goes_over_a_network(monkeypatch):
    asked = []

    def note(event, arguments):
        if event in {"socket.connect", "socket.getaddrinfo"}:
            asked.append(arguments)

    sys.addaudithook(note)
    train()
    assert asked == []
