"""Imports of ClearML's offline sessions, as the client writes them."""

import shutil

import pytest
from migration import bring_unchanged, driven, of, told, values

from multitrack.trackers.records import Artifact

SCRIPT = """
import os
from clearml import Task
task = Task.init(project_name="proj", task_name="name", tags=["t1"], reuse_last_task_id=False,
    auto_connect_frameworks=False, auto_connect_arg_parser=False, auto_connect_streams=False,
    auto_resource_monitoring=False, output_uri=False)
task.set_comment("desc")
task.connect({"lr": 0.1, "opt": "adam", "nested": {"a": [1, 2]}}, name="General")
log = task.get_logger()
for step in range(3):
    log.report_scalar("loss", "train", 1 / (step + 1), step * 10)
log.report_single_value("best", 42)
log.report_table("tbl", "a", iteration=0, table_plot=[["a", "b"], [1, 2]])
open("model.bin", "wb").write(b"x" * 1000)
task.upload_artifact("model", "model.bin", wait_on_upload=True)
task.close()
os._exit(0)
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """The folder in which the client left a session, as a folder and as an archive."""
    base = tmp_path_factory.mktemp("clearml")
    driven(
        SCRIPT,
        base / "work",
        CLEARML_OFFLINE_MODE="1",
        CLEARML_CACHE_DIR=str(base / "cache"),
        CLEARML_SUPPRESS_UPDATE_MESSAGE="1",
        CLEARML_CONFIG_FILE=str(base / "none.conf"),
    )
    return base / "cache"


@pytest.mark.parametrize("is_archive", [True, False])
def test_session(tmp_path, session, is_archive):
    store = shutil.copytree(session, tmp_path / "store")
    for archive in [] if is_archive else store.rglob("*.zip"):
        archive.unlink()
    found, history = bring_unchanged(store, tmp_path / "runs")
    header = history.header
    assert (header.project, header.name, header.notes) == ("proj", "name", "desc")
    assert history.params["General"] == {"lr": 0.1, "opt": "adam", "nested": {"a": [1, 2]}}
    assert history.tags == {"t1": ""}
    assert values(found) == {"loss/train": [(0, "1.0"), (10, "0.5"), (20, repr(1 / 3))]}
    artifacts = {a.name: a.files[0].size for a in of(Artifact, found)}
    assert artifacts["model"] == 1000
    assert artifacts["plots/tbl/a/0.json"] > 0
    assert history.summary == {"best": 42.0}
    assert told(found) == {}
