"""Formats of files, damaged anywhere: what is whole comes in, what is not is told."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from migration import bring_damaged, damages, png

COMET = (
    {"type": "metric_msg", "payload": {"metric": {"metricName": "a", "metricValue": 1, "step": 2}}},
    {"type": "parameter_msg", "payload": {"param": {"paramName": "lr|x", "paramValue": 0.1}}},
    {"type": "file_upload", "payload": {"upload_type": "asset", "file_path": "t", "step": 1}},
    {"type": "log_other", "payload": {"key": "Name", "value": "n"}},
)
EVENT = {
    "timestamp": 1.7e12,
    "type": "training_stats_scalar",
    "iter": 1,
    "metric": "a",
    "variant": "b",
    "value": 0.5,
}
TASK = {
    "id": "offline-1",
    "hyperparams": {"General": {"lr": {"type": "float", "value": "0.1"}}},
    "offline_folder": "/x",
    "execution": {"artifacts": [{"key": "m", "uri": "/x/m.bin", "type": "custom"}]},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """One small store of each format that is read without a client."""
    root = tmp_path_factory.mktemp("formats") / "project"
    files = {
        "hf/trainer_state.json": json.dumps(
            {"log_history": [{"loss": 1.5, "step": 1}], "global_step": 1, "max_steps": 1}
        ),
        "hf/config.json": '{"layers": 2}',
        "version_0/metrics.csv": "epoch,step,loss\n0,1,0.5\n",
        "version_0/hparams.yaml": "lr: 0.1\nnames: [a, b]\n",
        "keras/training.log": "epoch,loss,val_loss\n0,0.5,NA\n",
        "yolo/results.csv": "epoch,train/box_loss\n1,0.5\n",
        "yolo/args.yaml": "lr0: 0.1\n",
        "tune/t0/result.json": '{"training_iteration": 1, "loss": 1, "trial_id": "t0"}\n',
        "tune/t0/params.json": '{"lr": 0.1}',
        "dvclive/plots/metrics/a.tsv": "step\ta\n0\t0.5\n",
        "dvclive/metrics.json": '{"a": 0.5, "step": 0, "best": 1}',
        "dvclive/params.yaml": "lr: 0.1\n",
        "offline-1/task.json": json.dumps(TASK),
        "offline-1/metrics.jsonl": json.dumps([EVENT]) + "\n",
        "offline-1/m.bin": "model",
        "tables/a.json": '[{"step": 1, "loss": 0.5}]',
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "yolo" / "results.png").write_bytes(png())
    with zipfile.ZipFile(root / "comet.zip", "w") as archive:
        archive.writestr("experiment.json", '{"offline_id": "e", "start_time": 1700000000000}')
        archive.writestr("messages.json", "\n".join(map(json.dumps, COMET)))
        archive.writestr("t", "asset")
    (root / "trackio").mkdir()
    with closing(sqlite3.connect(root / "trackio" / "p.db")) as database, database:
        database.execute("CREATE TABLE metrics (id, run_id, timestamp, run_name, step, metrics)")
        database.execute("CREATE TABLE configs (id, run_id, run_name, config, created_at)")
        row = (1, "r", "2023-11-14T22:13:20+00:00", "n", 1, '{"a": 0.5}')
        database.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", row)
        database.execute("INSERT INTO configs VALUES (1, 'r', 'n', '{\"lr\": 0.1}', '')")
    return root


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), damage=damages())
def test_damage_costs_one_run_at_most(project, tmp_path, data, damage):
    names = [p.relative_to(project).as_posix() for p in sorted(project.rglob("*")) if p.is_file()]
    name = data.draw(st.sampled_from(names))
    histories, output = bring_damaged(project, name, damage, tmp_path / "damaged")
    kinds = {history.params["imported_from"]["tracker"] for history in histories}
    whole = {"clearml", "comet", "dvclive", "keras", "lightning", "ray", "table", "trackio"}
    assert len((whole | {"transformers", "yolo"}) - kinds) <= 1, output


def test_the_whole_project_comes_in(project, tmp_path):
    histories, output = bring_damaged(
        project, "hf/config.json", lambda content: content, tmp_path / "x"
    )
    assert len(histories) == 10, output
