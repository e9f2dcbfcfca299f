"""What training programs leave: transformers, Lightning, Keras, YOLO, Ray; as each writes it."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile

import pytest
from migration import bring, bring_one, of, png, points, records

from multitrack.trackers.folder import find_runs
from multitrack.trackers.history import read_history
from multitrack.trackers.records import Artifact, End, Image, Metrics, Refused


def values(found):
    return {name: [(s, v) for s, _, v in series] for name, series in points(found).items()}


def told(found):
    return {record.key: record.reason for record in of(Refused, found)}


def digests(folder):
    """Return what tells whether anything in a tree was changed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(p), p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).digest()) for p in files]


@pytest.fixture
def store(tmp_path):
    """A folder that nothing may change."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def unchanged(store, tmp_path):
    before = digests(store)
    found = bring_one(store, tmp_path / "runs")
    assert digests(store) == before
    return found


# -- transformers --------------------------------------------------------------------------------

ROWS = [
    {"epoch": 0.5, "grad_norm": 1.5, "learning_rate": 1e-4, "loss": 2.5, "step": 1},
    {"epoch": 1.0, "loss": float("nan"), "rewards/chosen": 0.5, "step": 2},
    {"epoch": 1.0, "eval_loss": 1.25, "eval_runtime": 3.0, "step": 2},
    {"epoch": 2.0, "loss": 1.0, "step": 4},
    {"epoch": 2.0, "total_flos": 1e12, "train_loss": 1.5, "train_runtime": 9.5, "step": 4},
]


def state(rows, **more):
    return {"log_history": rows, "global_step": rows[-1]["step"], "max_steps": 4, **more}


class Strategy:
    def __reduce__(self):
        return Strategy, ("steps",)


def arguments(path, kept):
    """Write arguments as torch does: a pickle in an archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("training_args/data.pkl", pickle.dumps(kept))


class Arguments:
    def __init__(self, **named):
        self.__dict__.update(named)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_checkpoints_of_one_training_are_one_run(store, tmp_path):
    out = store / "out"
    written(out / "checkpoint-2" / "trainer_state.json", state(ROWS[:3]))
    written(out / "checkpoint-4" / "trainer_state.json", state(ROWS[:4]))
    written(out / "trainer_state.json", state(ROWS, best_metric=1.25, best_model_checkpoint="c"))
    written(out / "all_results.json", {"epoch": 2.0, "train_loss": 1.5, "eval_accuracy": 0.75})
    written(out / "config.json", {"model_type": "bert", "hidden_size": 8})
    found, history = unchanged(store, tmp_path)
    assert history.header.name == "out"
    assert values(found)["train/loss"] == [(1, "2.5"), (2, "nan"), (4, "1.0")]
    assert values(found)["train/rewards/chosen"] == [(2, "0.5")]
    assert values(found)["eval/loss"] == [(2, "1.25")]
    assert [m.epoch for m in of(Metrics, found)] == [0.5, 1.0, 1.0, 2.0, 2.0]
    assert history.params["model"] == {"model_type": "bert", "hidden_size": 8}
    assert history.params["args"]["max_steps"] == 4
    assert history.summary["train/best_metric"] == 1.25
    assert history.summary["train/train_runtime"] == 9.5
    assert history.summary["eval/accuracy"] == 0.75
    assert "checkpoint-2, checkpoint-4" in told(found)["checkpoints"]
    assert history.status == "finished"


def test_a_training_that_goes_on_is_brought_up_to_date(store, tmp_path):
    out = store / "out"
    written(out / "checkpoint-2" / "trainer_state.json", state(ROWS[:3], best_metric=2.0))
    [run] = bring(store, tmp_path / "runs")
    assert not of(End, records(run))
    written(out / "checkpoint-4" / "trainer_state.json", state(ROWS[:4], best_metric=1.0))
    [run] = bring(store, tmp_path / "runs")
    history = read_history(run)
    assert history.status == "finished"
    assert list(history.series["train/loss"].steps) == [1, 2, 4]
    assert history.summary["train/best_metric"] == 1.0


def test_arguments_are_read_and_nothing_in_them_runs(store, tmp_path):
    out = store / "out"
    written(out / "trainer_state.json", state(ROWS))
    target = tmp_path / "made"
    kept = Arguments(
        learning_rate=0.1, eval_strategy=Strategy(), hub_token="s3cret", x=Hostile(target)
    )
    arguments(out / "training_args.bin", kept)
    found, history = unchanged(store, tmp_path)
    assert history.params["args"]["learning_rate"] == 0.1
    assert history.params["args"]["eval_strategy"] == "steps"
    assert b"s3cret" not in find_runs(tmp_path / "runs")[0].journal.read_bytes()
    assert not target.exists()
    (out / "training_args.bin").write_bytes(b"PK junk")
    found, _ = bring_one(store, tmp_path / "more")
    assert "nothing that torch saved" in told(found)["training_args.bin"]


@pytest.mark.parametrize("junk", ["[]", "{", '{"log_history": 3}', '{"log_history": [3]}'])
def test_a_state_that_is_none(store, tmp_path, junk):
    written(store / "trainer_state.json", junk)
    bring(store, tmp_path / "runs", code=1)


# -- Lightning -----------------------------------------------------------------------------------


def test_versions_of_lightnings_logger(store, tmp_path):
    pytest.importorskip("yaml")
    for version in (0, 1):
        folder = store / "lightning_logs" / f"version_{version}"
        written(
            folder / "metrics.csv",
            f"epoch,step,train_loss,val_acc\n0,9,0.{version}5,\n0,9,,0.75\n1,19,nan,\n",
        )
        written(
            folder / "hparams.yaml",
            "lr: 0.1\nlayers: &a\n- 1\nmore: *a\nact: !!python/name:torch.nn.ReLU ''\n"
            "opt: !!python/object:x.Y\n  beta: 0.9\n",
        )
        written(folder / "checkpoints" / "epoch=1.ckpt", "x")
    before = digests(store)
    runs = {read_history(run).header.name: run for run in bring(store, tmp_path / "runs")}
    assert digests(store) == before
    assert runs.keys() == {"version_0", "version_1"}
    history = read_history(runs["version_1"])
    params = {name: history.params[name] for name in ("lr", "layers", "more", "act", "opt")}
    assert params == {
        "lr": 0.1,
        "layers": [1],
        "more": [1],
        "act": "python/name:torch.nn.ReLU",
        "opt": {"beta": 0.9},
    }
    assert list(history.series["train_loss"].steps) == [9, 19]
    assert list(history.series["val_acc"].values) == [0.75]
    assert "epoch=1.ckpt" in history.refused["checkpoints"]


def test_params_that_unfold_without_end_are_told(store, tmp_path):
    pytest.importorskip("yaml")
    folder = store / "version_0"
    written(folder / "metrics.csv", "epoch,step,loss\n0,1,0.5\n")
    lines = [
        "a0: &a0 [1, 1]",
        *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)),
    ]
    written(folder / "hparams.yaml", "\n".join(lines))
    found, _ = unchanged(store, tmp_path)
    assert values(found) == {"loss": [(1, "0.5")]}
    assert "unfolds to more than" in told(found)["hparams.yaml"]


# -- Keras ---------------------------------------------------------------------------------------


def test_keras_logger(store, tmp_path):
    written(
        store / "training.log",
        'epoch,accuracy,loss,val_loss\n0,0.5,2.0,NA\n1,0.6,nan,"[1, 2]"\n2,0.7,1.0,1.5\n',
    )
    found, history = unchanged(store, tmp_path)
    assert history.header.name == "training"
    assert values(found)["loss"] == [(0, "2.0"), (1, "nan"), (2, "1.0")]
    assert values(found)["val_loss"] == [(2, "1.5")]


# -- YOLO ----------------------------------------------------------------------------------------


def test_yolo(store, tmp_path):
    pytest.importorskip("yaml")
    folder = store / "runs" / "detect" / "train3"
    written(
        folder / "results.csv", "epoch,time,train/box_loss,lr/pg0\n1,12.5,0.9,0.1\n2,25.1,0.8,0.1\n"
    )
    written(folder / "args.yaml", "model: yolo11n.pt\nproject: null\nlr0: 0.01\n")
    written(folder / "weights" / "best.pt", "best")
    (folder / "results.png").write_bytes(png())
    found, history = unchanged(store, tmp_path)
    assert history.header.name == "train3"
    assert values(found)["train/box_loss"] == [(1, "0.9"), (2, "0.8")]
    assert values(found)["time"] == [(1, "12.5"), (2, "25.1")]
    assert history.params["args"]["lr0"] == 0.01
    assert [(a.name, a.kind, a.aliases) for a in of(Artifact, found)] == [
        ("best.pt", "model", ["best"])
    ]
    assert [image.key for image in of(Image, found)] == ["results"]


def test_yolo_before(store, tmp_path):
    """Version 5 pads its headings and has two files of arguments."""
    pytest.importorskip("yaml")
    written(
        store / "exp" / "results.csv",
        "      epoch,   train/box_loss\n          0,          0.12431\n",
    )
    written(store / "exp" / "opt.yaml", "project: runs/train\nepochs: 3\n")
    written(store / "exp" / "hyp.yaml", "lr0: 0.01\n")
    found, history = unchanged(store, tmp_path)
    assert values(found) == {"train/box_loss": [(0, "0.12431")]}
    assert (history.header.project, history.params["hyp"]) == ("train", {"lr0": 0.01})


# -- Ray -----------------------------------------------------------------------------------------


def trial(folder, name, *, done=True):
    rows = [
        {
            "training_iteration": i,
            "loss": 1 / i,
            "info": {"kl": 0.5},
            "timestamp": 1_700_000_000 + i,
            "date": "2023-11-14_22-13-20",
            "trial_id": name,
            "hostname": "node1",
            "pid": 7,
            "done": done and i == 2,
            "config": {"lr": 0.1},
        }
        for i in (1, 2)
    ]
    written(folder / name / "result.json", "".join(json.dumps(row) + "\n" for row in rows))
    written(folder / name / "progress.csv", "training_iteration,loss\n1,1.0\n2,0.5\n")
    written(folder / name / "params.json", {"lr": 0.1, "net": {"layers": [1, 2]}})


def test_trials_of_an_experiment(store, tmp_path):
    trial(store / "tuned", "a_0")
    trial(store / "tuned", "a_1", done=False)
    written(store / "tuned" / "a_1" / "error.txt", "Traceback\n  x\nValueError: no\n")
    before = digests(store)
    runs = {read_history(run).header.name: run for run in bring(store, tmp_path / "runs")}
    assert digests(store) == before
    assert runs.keys() == {"a_0", "a_1"}
    history = read_history(runs["a_0"])
    assert history.header.host.hostname == "node1"
    assert history.header.time == 1_700_000_001
    assert history.tags == {"experiment": "tuned"}
    assert history.params["net"] == {"layers": [1, 2]}
    assert history.params["imported_from"]["group"] == "tuned"
    assert set(history.series) == {"loss", "info/kl"}
    assert list(history.series["loss"].steps) == [1, 2]
    assert history.status == "finished"
    assert read_history(runs["a_1"]).status == "failed"
