"""Promise 7: planted secrets are found nowhere: journal, staged files, logs, any store."""

import subprocess
import sys

import pytest
from harness import INSTALLED

from multitrack.trackers.folder import find_runs

PLANTED = {
    "hub_token": "hf_" + "a1B2c3D4e5" * 3,
    "api_key": "plain-canary-one",
    "database": "postgresql://user:canary-two@db.example/x",
    "aws_secret_access_key": "canary-three/with+signs",
    "option": "canary-four",
    "variable": "canary5" * 6,
}
SCRIPT = """
import multitrack, os, sys
config = {"lr": 0.1, "optim": {"api_key": "plain-canary-one"}, "urls": [sys.argv[1]],
          "hub_token": "hf_" + "a1B2c3D4e5" * 3, "note": "key hf_" + "a1B2c3D4e5" * 3,
          "aws_secret_access_key": "canary-three/with+signs", "pad_token": "<pad>"}
with multitrack.start_run("p", "n", report_to=sys.argv[2].split(), config=config, dir="runs",
                          tags={"password": "plain-canary-one"},
                          notes="see postgresql://user:canary-two@db.example/x") as run:
    run.log({"train/loss": 0.5}, step=1)
    run.log_params({"model": {"token": "plain-canary-one"}})
    run.summary({"access_key": "plain-canary-one"})
    run.log_artifact("model.bin", metadata={"api_key": "plain-canary-one"})
"""


@pytest.fixture
def places(training, tmp_path):
    """Run a script with secrets on its command line, in its environment and in its config."""
    (training.cwd / "model.bin").write_bytes(b"weights")
    (training.cwd / "script.py").write_text(SCRIPT)
    arguments = [PLANTED["database"], " ".join(INSTALLED), "--api-key", PLANTED["option"]]
    subprocess.run(
        [sys.executable, "script.py", *arguments],
        cwd=training.cwd,
        env={**training.environ, "WANDB_API_KEY": PLANTED["variable"]},
        check=True,
        timeout=180,
    )
    (training.cwd / "script.py").unlink()
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_planted_secrets_are_found_nowhere(training, places):
    [run] = find_runs(training.cwd / "runs")
    assert {courier.read_state().phase for courier in run.couriers()} == {"done"}
    contents = {path: path.read_bytes() for path in places}
    assert any(b"<pad>" in content for content in contents.values()), "what is no secret stays"
    found = {
        (name, str(path))
        for name, secret in PLANTED.items()
        for path, content in contents.items()
        if secret.encode() in content or secret.rsplit("@", 1)[0].encode() in content
    }
    assert not found
