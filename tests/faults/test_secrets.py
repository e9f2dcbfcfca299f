"""Promise 7: planted secrets are found nowhere: journal, staged files, logs, any store."""

import json
import subprocess
import sys

import pytest
from harness import INSTALLED

from multitrack.trackers.folder import find_runs

LETTERS = "a1B2c3D4e5"
BODY = "MIIcanary0body" + LETTERS * 4
PEM = f"-----BEGIN PRIVATE KEY-----\n{BODY}\n{BODY}==\n-----END PRIVATE KEY-----\n"
KNOWN = {
    "hugging face": "hf_" + LETTERS * 3,
    "github": "ghp_" + LETTERS * 4,
    "gitlab": "glpat-" + LETTERS * 2,
    "openai": "sk-proj-" + LETTERS * 4,
    "npm": "npm_" + LETTERS * 4,
    "pypi": "pypi-AgEI" + LETTERS * 5,
    "stripe": "sk_live_" + LETTERS * 3,
    "slack": "xoxb-12-" + LETTERS * 2,
    "aws": "ASIA" + "A1B2C3D4" * 2,
    "google": "AIza" + LETTERS * 4,
}
"""In published formats: each is planted everywhere."""
PLACED = {
    "config name": ("config", {"optim": {"api_key": "canary-01-x"}}),
    "config list": ("config", {"PASSWORDS": ["canary-02-x"]}),
    "config url": ("config", {"urls": ["postgresql://user:canary-03/with@sign@db.example/x"]}),
    "config query": ("config", {"link": "https://h/x?step=1&sig=canary-04-x&sv=2"}),
    "config pair": ("config", {"env": [{"name": "WANDB_API_KEY", "value": "canary-05-x"}]}),
    "config json": ("config", {"sa": json.dumps({"private_key": PEM})}),
    "config argv": ("config", {"argv": ["train.py", "--hub_token", "canary-06-x"]}),
    "config bytes": ("config", {"raw": "b'token=canary-07-x'"}),
    "config phrase": ("config", {"dsn": "Server=h;Pwd=canary-08-x;AccountKey=canary-08-y=="}),
    "params": ("params", {"model": {"train_hub_token": "canary-09-x"}}),
    "params name": ("params", {"OPENAI_KEY": "canary-10-x", "db_pass": "canary-10-y"}),
    "tags": ("tags", {"ssh_key": "canary-11-x"}),
    "notes": ("notes", "see AccountKey=canary-12-x;"),
    "summary": ("summary", {"jwt": "canary-13-x"}),
    "text": ("text", "export NPM_TOKEN=canary-14-x"),
    "text json": ("text", '{"client_secret": "canary-15-x"}'),
    "text pem": ("text", PEM.replace("canary0", "canary-16-x0")),
    "table column": ("table", {"password": ["canary-17-x"]}),
    "table cell": ("table", {"note": ["Authorization: Basic Y2FuYXJ5LTE4OmFiYw=="]}),
    "caption": ("caption", "wandb_key: canary-19-x"),
    "metadata": ("metadata", {"nested": [{"secret": "canary-20-x"}]}),
    "console": ("console", "PGPASSWORD=canary-21-x psql"),
    "console pem": ("console", PEM.replace("canary0", "canary-22-x0")),
    "exception": ("exception", "401: authorization: bearer canary223344556677"),
}
"""By their names and places, one each."""
COMMAND = {
    "option": ["--api-key", "canary-31-x"],
    "vendor's option": ["--wandb-key", "canary-32-x"],
    "hydra": ["+api_key=canary-33-x"],
    "one string": ["--hub_token canary-34-x"],
    "json": ["--cfg", '{"a": {"api_key": "canary-35-x"}}'],
    "header": ["-H", "Authorization: Basic Y2FuYXJ5LTM2OmFiYw=="],
}
ENVIRONMENT = {"WANDB_API_KEY": "canary5" * 6, "MY_SERVICE_PASSWORD": "canary-41-own-secret"}
SCRIPT = """
import json, multitrack, os, pathlib, sys
known, placed, backends, *_ = sys.argv[1:]
def taken(file):
    content = json.loads(pathlib.Path(file).read_text())
    pathlib.Path(file).unlink()
    return content
known, placed = taken(known), taken(placed)
keys = " ".join(known.values()) + " " + os.environ["MY_SERVICE_PASSWORD"]
def of(place):
    return [value for where, value in placed if where == place]
def merged(place):
    return {name: value for part in of(place) for name, value in part.items()}
config = merged("config") | {"note": keys, "pad_token": "<pad>"}
pathlib.Path(f"model-{known['github']}.bin").write_bytes(b"weights")
try:
    with multitrack.start_run(
        "p " + known["npm"], "n " + known["openai"], report_to=backends.split(), dir="runs",
        config=config, tags=merged("tags") | {"k": keys}, notes=of("notes")[0] + keys,
        capture_console=True,
    ) as run:
        run.log({"train/loss": 0.5, "m/" + known["github"]: 1.0}, step=1)
        for part in of("params"):
            run.log_params(part)
        run.summary(merged("summary") | {"s": keys})
        for number, text in enumerate([*of("text"), keys]):
            run.log_text(f"text/{number}/{known['google']}", text)
        for number, table in enumerate(of("table")):
            run.log_table(f"table/{number}", table | {"keys": [keys]})
        run.log_image("image", [[[0, 1, 2]] * 4] * 4, caption=of("caption")[0])
        run.log_artifact(f"model-{known['github']}.bin", metadata=merged("metadata") | {"k": keys})
        run.log_artifact("/nowhere/" + known["stripe"])
        for text in [*of("console"), keys]:
            print(text)
        raise RuntimeError(of("exception")[0] + " " + keys)
except RuntimeError:
    pass
"""
CANARIES = [
    *KNOWN.values(),
    *ENVIRONMENT.values(),
    *("Y2FuYXJ5LTE4OmFiYw", "Y2FuYXJ5LTM2OmFiYw", "canary223344556677", "canary0body"),
    *(f"canary-{number:02}-" for number in [*range(1, 23), *range(31, 36)] if number != 18),
]


@pytest.fixture
def places(training, tmp_path):
    """Run a script with secrets in all that it logs, on its command line and in its environment."""
    (training.cwd / "known.json").write_text(json.dumps(KNOWN))
    (training.cwd / "placed.json").write_text(json.dumps(list(PLACED.values())))
    (training.cwd / "script.py").write_text(SCRIPT)
    command = [word for words in COMMAND.values() for word in words]
    subprocess.run(
        [sys.executable, "script.py", "known.json", "placed.json", " ".join(INSTALLED), *command],
        cwd=training.cwd,
        env={**training.environ, **ENVIRONMENT},
        check=True,
        timeout=180,
        capture_output=True,
    )
    (training.cwd / "script.py").unlink()
    for own in training.cwd.glob("model-*"):  # a user's own file keeps its name
        own.unlink()
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_planted_secrets_are_found_nowhere(training, places):
    [run] = find_runs(training.cwd / "runs")
    assert {courier.read_state().phase for courier in run.couriers()} == {"done"}
    contents = {path: path.read_bytes() + str(path).encode() for path in places}
    assert any(b"<pad>" in content for content in contents.values()), "what is no secret stays"
    assert b"<redacted>" in run.journal.read_bytes()
    assert len(CANARIES) > 35
    found = {
        (secret, str(path))
        for secret in CANARIES
        for path, content in contents.items()
        if secret.encode() in content
    }
    assert not found
