"""A run that somebody purged at MLflow is delivered to a new one, by the command that is told."""

import re
import shlex

from mlflow import MlflowClient
from typer.testing import CliRunner

from multitrack import start_run
from multitrack.cli import app


def sync(*arguments):
    return CliRunner().invoke(app, ["sync", *arguments])


def test_a_purged_run_is_delivered_to_a_new_one(tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    run = start_run("p", report_to="mlflow", dir=tmp_path / "runs", delivery="later")
    run.log({"loss": 0.5}, step=0)
    assert sync(str(run.folder.path)).exit_code == 0
    old = run.folder.courier("mlflow").read_state().attachment.id
    client.delete_run(old)
    client._tracking_client.store._hard_delete_run(old)
    run.log({"loss": 0.25}, step=1)
    run.finish("failed", quiet=True)
    result = sync(str(run.folder.path))
    assert result.exit_code == 1
    (command,) = re.findall(r"multitrack sync (.* --to mlflow --anew)", result.output)
    assert sync(*shlex.split(command)).exit_code == 0
    new = run.folder.courier("mlflow").read_state().attachment.id
    assert new != old
    assert client.get_run(new).info.status == "FAILED"
    assert [point.step for point in client.get_metric_history(new, "loss")] == [0, 1]


def test_anew_is_to_be_told_of_what(tmp_path):
    for arguments in (["--anew"], [str(tmp_path), "--anew"]):
        result = sync(*arguments)
        assert (result.exit_code, "multitrack sync RUN --to NAME --anew" in result.output) == (
            2,
            True,
        )
