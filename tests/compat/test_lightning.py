"""multitrack in a real Trainer of Lightning, read back with TensorBoard's reader."""

import pickle
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oddities import made, names_and_values, recipes
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard import summary as torch_summary

from multitrack.compat._summary_writer import NOT_COVERED
from multitrack.compat.lightning import MultitrackLogger
from multitrack.trackers.history import read_history

packages = [pytorch_lightning]
try:
    import lightning.pytorch

    packages.append(lightning.pytorch)
except ModuleNotFoundError:  # pytorch_lightning alone
    pass
L = packages[-1]

DATA = [torch.full((4,), i / 8) for i in range(8)]
QUIET = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
}


def module_of(package, error=None):
    class Module(package.LightningModule):
        def __init__(self, width=4, token="secret"):
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(width, 1)

        def training_step(self, batch, index):
            if error and index == 1:
                raise error
            self.log("loss", float(self.global_step))
            return self.layer(batch).pow(2).mean()

        def validation_step(self, batch, index):
            self.log("val_loss", 0.5)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Module()


def fit(logger, folder, package=L, error=None, **options):
    options = {"enable_checkpointing": False, "max_epochs": 1, **QUIET, **options}
    trainer = package.Trainer(logger=logger, default_root_dir=folder, **options)
    loader = torch.utils.data.DataLoader(DATA, batch_size=2)
    trainer.fit(module_of(package, error), loader, loader)
    return trainer


@pytest.fixture
def logger(options, tmp_path):
    logger = MultitrackLogger("digits", "first", save_dir=tmp_path, **options)
    yield logger
    logger.experiment.finish(quiet=True)


@pytest.mark.parametrize("package", packages, ids=lambda package: package.__name__)
def test_training_reaches_tensorboard(logger, tmp_path, package, stored, histories):
    trainer = fit(logger, tmp_path, package, max_epochs=2)
    loader = torch.utils.data.DataLoader(DATA, batch_size=2)
    trainer.validate(trainer.lightning_module, loader, verbose=False)
    logger.experiment.finish()
    points, _ = stored()
    assert points["loss"] == [(step, step) for step in range(8)]
    assert [step for step, _ in points["val_loss"]] == [3, 7, 8]
    [history] = histories()
    assert history.params == {"width": 4, "token": "<redacted>"}
    assert (history.header.project, history.header.name) == ("digits", "first")
    assert history.status == "finished"
    assert history.header.run_id == logger.version
    assert not history.refused


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ValueError("no more"), "failed", "ValueError: no more"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt: "),
        (SystemExit(), "interrupted", None),  # what Lightning raises after SIGTERM is one
    ],
)
def test_training_that_raises(logger, tmp_path, histories, error, status, told):
    with pytest.raises((type(error), SystemExit)):  # Lightning exits after Ctrl-C
        fit(logger, tmp_path, error=error)
    [history] = histories()
    assert (history.status, history.error) == (status, told)


def test_a_requeued_job_is_interrupted_and_goes_on(logger, options, histories):
    logger.log_metrics({"loss": 1.0}, 1)
    logger.finalize("finished")
    assert histories()[0].status == "interrupted"
    logger.experiment.finish()
    again = MultitrackLogger(**{**options, "report_to": None}, run_id=logger.version)
    again.log_metrics({"loss": 2.0, "epoch": 1}, 2)
    again.finalize("success")
    again.experiment.finish()
    [history] = histories()
    assert list(history.series["loss"].steps) == [1, 2]
    assert history.backends == ["tensorboard"]
    assert history.status == "finished"


@pytest.mark.parametrize(
    ("log_model", "top_k", "logged"),
    [(False, 1, 0), (True, 1, 1), (True, -1, 3), ("all", 1, 3)],
)
def test_checkpoints_become_artifacts(options, tmp_path, histories, log_model, top_k, logged):
    logger = MultitrackLogger(
        "digits",
        save_dir=tmp_path,
        log_model=log_model,
        **options | {"report_to": "none"} | {"settings": None},
    )
    checkpoints = L.callbacks.ModelCheckpoint(monitor="loss", mode="max", save_top_k=top_k)
    fit(logger, tmp_path, max_epochs=3, enable_checkpointing=True, callbacks=[checkpoints])
    logger.experiment.finish()
    [history] = histories()
    assert len(history.artifacts) == logged
    assert f"/digits/{logger.version}/checkpoints" in checkpoints.dirpath
    if logged:
        last = history.artifacts[-1]
        assert (last.kind, last.aliases, last.step) == ("checkpoint", ["best"], 11)
        assert last.metadata == {"monitor": "loss", "score": 11.0}


def test_media(logger, stored, histories):
    logger.log_image("digit", [np.zeros((8, 8)), np.ones((8, 8))], step=3, caption=["a", "b"])
    logger.log_image("one", [np.zeros((8, 8))])
    logger.log_audio("voice", [np.zeros(100)], sample_rate=[8000])
    logger.log_video("rollout", [np.zeros((2, 8, 8, 3), np.uint8)], fps=[2])
    logger.log_table("errors", ["a"], [[1]])
    logger.log_text("answers", columns=["q", "a"], data=[["1+1", "2"]])
    logger.log_hyperparams({"lr": 0.1}, {"best": 0.9})
    logger.experiment.finish()
    _, tags = stored()
    assert {"digit/0", "digit/1", "one"} <= set(tags["images"])
    [history] = histories()
    kinds = {("image", "one"), ("audio", "voice"), ("video", "rollout"), ("table", "answers")}
    assert kinds <= set(history.media)
    assert history.summary == {"best": 0.9}
    assert not history.refused


def test_what_does_not_fit_is_refused_by_name(logger, histories):
    logger.log_image("flat", np.zeros(3))
    logger.log_image("digits", [np.zeros((4, 4)), np.ones((4, 4))], caption=["a"])
    logger.log_image("masked", [np.zeros((4, 4))], masks=[{}])
    logger.log_hyperparams({"lr": 0.1}, 0.5)
    logger.experiment.finish(quiet=True)
    [history] = histories()
    assert set(history.refused) == {"flat", "digits", "log_image(masks=)"}
    assert set(history.media) == {("image", "masked")}
    assert history.summary == {"hp_metric": 0.5}


def test_one_picture_is_one(logger, histories):
    logger.log_image("one", np.zeros((64, 64, 3), np.uint8), caption="all")
    logger.log_image("batch", torch.zeros(2, 3, 8, 8))
    logger.experiment.finish(quiet=True)
    [history] = histories()
    assert set(history.media) == {("image", "one"), ("image", "batch/0"), ("image", "batch/1")}


def test_mistakes_are_told_before_training():
    with pytest.raises(ValueError, match="log_model"):
        MultitrackLogger(log_model="best")
    with pytest.raises(ValueError, match="delivery"):
        MultitrackLogger(delivery="pigeon")


def test_a_logger_that_travels_takes_the_run_along(logger, histories):
    logger.log_metrics({"loss": 1.0}, 1)
    there = pickle.loads(pickle.dumps(logger))
    there.log_metrics({"loss": 2.0}, 2)
    there.experiment.finish(quiet=True)
    logger.log_metrics({"loss": 3.0}, 3)
    [history] = histories()
    assert list(history.series["loss"].steps) == [1, 2, 3]
    assert not history.refused


PROGRAM = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_lightning import L, DATA, QUIET, MultitrackLogger, torch

class Module(L.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        if index == 1 and self.global_rank == 0 and os.environ.get("FAIL"):
            raise ValueError("no more")
        self.log("rank", float(self.global_rank), sync_dist=True)
        return self.layer(batch).pow(2).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

if __name__ == "__main__":
    folder = Path(os.environ["RUN_DIR"])
    settings = {{"tensorboard": {{"logging_dir": folder / "tensorboard"}}}}
    logger = MultitrackLogger("digits", report_to="tensorboard", settings=settings)
    if {early!r}:
        logger.log_hyperparams({{"early": True}})
    trainer = L.Trainer(
        logger=logger, strategy={strategy!r}, devices=2, max_epochs=1, default_root_dir=folder,
        enable_checkpointing=False, **QUIET,
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(DATA, batch_size=1))
    logger.log_metrics({{"after": 1.0}}, 9)
    logger.finalize("success")
"""


@pytest.mark.parametrize(("strategy", "early"), [("ddp", False), ("ddp_spawn", True)])
def test_two_ranks_are_one_run(program, request, stored, histories, strategy, early):
    code = PROGRAM.format(tests=str(request.path.parent), strategy=strategy, early=early)
    ended = program(code)
    assert ended.code == 0, ended.output
    points, _ = stored()
    assert points["rank"] == [(step, 0.5) for step in range(4)]
    assert points["after"] == [(9, 1.0)]
    [history] = histories()
    assert history.params == {"lr": 0.1} | ({"early": True} if early else {})
    assert history.status == "finished"
    assert "not logged" not in ended.output


def test_a_spawned_rank_that_fails_fails_the_run(program, request, histories, monkeypatch):
    monkeypatch.setenv("FAIL", "1")
    code = PROGRAM.format(tests=str(request.path.parent), strategy="ddp_spawn", early=False)
    ended = program(code)
    assert ended.code != 0
    [history] = histories()
    assert history.status == "failed"
    assert "no more" in ended.output


# -- Lightning's conventions -----------------------------------------------------------------------


@pytest.mark.parametrize("version", ["first", 3, "a/b"])
@pytest.mark.parametrize("name", ["digits", "team/digits", "", None])
def test_places_are_those_of_lightnings_own_logger(tmp_path, name, version):
    theirs = L.loggers.TensorBoardLogger(
        tmp_path, *([] if name is None else [name]), version=version
    )
    ours = MultitrackLogger(name, save_dir=tmp_path, version=version, report_to="none")
    for place in ("save_dir", "name", "version", "root_dir", "log_dir"):
        assert getattr(ours, place) == getattr(theirs, place)


def written(folder):
    return sorted({path.parent.relative_to(folder) for path in folder.rglob("*tfevents*")})


def test_save_dir_decides_where_tensorboards_files_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "variable"))
    logger = MultitrackLogger("digits", save_dir="out", report_to="tensorboard")
    fit(logger, tmp_path, enable_checkpointing=True)
    logger.experiment.finish(quiet=True)
    assert written(tmp_path) == [Path("out", "digits", logger.version)]
    assert (tmp_path / "out" / "digits" / logger.version / "checkpoints").is_dir()


@pytest.mark.parametrize("save_dir", [None, "out"])
@pytest.mark.parametrize("settings", [None, {"tensorboard": {"logging_dir": "said"}}])
@pytest.mark.parametrize("variable", [None, "variable"])
def test_what_wins_over_save_dir(tmp_path, monkeypatch, save_dir, settings, variable):
    """What the code says, of TensorBoard first; then the variable; then Lightning's own place."""
    monkeypatch.chdir(tmp_path)
    if variable:
        monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", variable)
    logger = MultitrackLogger(
        save_dir=save_dir, report_to="tensorboard", settings=settings, version=0, delivery="inline"
    )
    logger.log_metrics({"loss": 1.0}, 1)
    logger.experiment.finish(quiet=True)
    place = Path(save_dir or ".", "lightning_logs", "version_0")
    if settings:
        place = Path("said")
    elif variable and not save_dir:
        place = Path("variable")
    assert written(tmp_path) == [place]


def test_settings_of_others_stay(tmp_path):
    settings = {"tensorboard": {"log_model": "all"}}
    logger = MultitrackLogger(save_dir=tmp_path, report_to="tensorboard", settings=settings)
    logger.log_metrics({"loss": 1.0}, 1)
    logger.experiment.finish(quiet=True)
    assert settings == {"tensorboard": {"log_model": "all"}}
    assert written(tmp_path) == [Path("lightning_logs", logger.version)]


def test_a_version_that_was_used_goes_on_with_its_run(tmp_path, histories):
    for step in (1, 2):
        for version in (0, "other"):
            logger = MultitrackLogger(
                "digits",
                save_dir=tmp_path,
                dir=tmp_path / "runs",
                version=version,
                report_to="tensorboard",
                delivery="inline",
            )
            logger.log_metrics({"loss": 1.0}, step)
            logger.finalize("success")
            logger.experiment.finish(quiet=True)
    assert [list(history.series["loss"].steps) for history in histories()] == [[1, 2], [1, 2]]
    folders = [Path("digits", "other"), Path("digits", "version_0")]
    assert written(tmp_path) == folders


def test_prefix_is_put_before_metrics_as_lightning_does(tmp_path):
    theirs = L.loggers.CSVLogger(tmp_path, prefix="fold-1")
    ours = MultitrackLogger(save_dir=tmp_path, report_to="none", prefix="fold-1")
    row = {"loss": 0.5, "val/loss": 1.0}
    for logger in (theirs, ours):
        logger.log_hyperparams({"lr": 0.1})
        logger.log_metrics(row, 1)
    ours.experiment.finish(quiet=True)
    history = read_history(ours.run.folder)
    assert set(history.series) == set(theirs.experiment.metrics[0]) - {"step"}
    assert history.params == {"lr": 0.1}


# -- several trainings with one logger -------------------------------------------------------------


@pytest.mark.parametrize("package", packages, ids=lambda package: package.__name__)
def test_each_fold_of_one_logger_is_a_run(tmp_path, histories, package):
    logger = MultitrackLogger("digits", save_dir=tmp_path, dir=tmp_path / "runs", report_to="none")
    versions = []
    for fold in range(3):
        error = ValueError("no more") if fold == 1 else None
        with nullcontext() if error is None else pytest.raises(ValueError, match="no more"):
            trainer = fit(logger, tmp_path, package, error, enable_checkpointing=True)
        versions.append(logger.version)
        if error is None:
            loader = torch.utils.data.DataLoader(DATA, batch_size=2)
            trainer.validate(trainer.lightning_module, loader, verbose=False)
    logger.experiment.finish(quiet=True)
    runs = histories()
    assert [history.header.run_id for history in runs] == versions
    assert len(set(versions)) == 3
    assert [history.status for history in runs] == ["finished", "failed", "finished"]
    assert [list(history.series["loss"].steps) for history in runs] == [
        [0, 1, 2, 3],
        [0],
        [0, 1, 2, 3],
    ]
    assert (tmp_path / "digits" / versions[2] / "checkpoints").is_dir()


def test_what_goes_on_stays_one_run(tmp_path, histories):
    logger = MultitrackLogger("digits", save_dir=tmp_path, dir=tmp_path / "runs", report_to="none")
    trainer = fit(logger, tmp_path, enable_checkpointing=True)
    loader = torch.utils.data.DataLoader(DATA, batch_size=2)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(trainer.lightning_module, loader, loader)
    again = L.Trainer(logger=logger, default_root_dir=tmp_path, max_epochs=3, **QUIET)
    checkpoint = trainer.checkpoint_callback.best_model_path
    again.fit(module_of(L), loader, loader, ckpt_path=checkpoint)
    logger.experiment.finish(quiet=True)
    [history] = histories()
    assert list(history.series["loss"].steps) == list(range(12))


def test_a_run_that_was_asked_for_is_that_of_all_trainings(tmp_path, histories):
    logger = MultitrackLogger(run_id="mine", dir=tmp_path / "runs", report_to="none")
    for _ in range(2):
        fit(logger, tmp_path)
    logger.experiment.finish(quiet=True)
    assert [history.header.run_id for history in histories()] == ["mine"]


# -- the calls of a SummaryWriter ------------------------------------------------------------------


@pytest.fixture
def writer(tmp_path):
    logger = MultitrackLogger(save_dir=tmp_path, report_to="none")
    yield logger.experiment
    logger.experiment.finish(quiet=True)


def test_a_summary_writers_calls_are_recorded(writer):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    writer.add_scalar("loss", torch.tensor(0.5), 1, walltime=3.0)
    writer.add_scalars("both", {"a": 1, "b": 2.0}, global_step=2)
    writer.add_image("digit", torch.zeros(3, 8, 9), 3)
    writer.add_images("digits", torch.zeros(2, 3, 8, 9), 3)
    writer.add_figure("plot", figure, 3)
    writer.add_figure("plots", [figure, figure], 3, close=False)
    writer.add_histogram("weights", torch.arange(5.0), 3, bins="auto")
    writer.add_text("answer", "Paris", 3)
    writer.add_video("film", torch.zeros(1, 2, 3, 8, 9), 3, fps=2)
    writer.add_audio("voice", torch.zeros(1, 100), 3, sample_rate=8000)
    writer.add_hparams({"lr": 0.1}, {"best": 0.9}, run_name="here")
    writer.flush()
    writer.close()
    writer.log({"own": 1.0}, step=4)
    history = read_history(writer.run.folder)
    found = {name: (list(s.steps), s.last.value) for name, s in history.series.items()}
    assert found == {
        "loss": ([1], 0.5),
        "both/a": ([2], 1),
        "both/b": ([2], 2.0),
        "own": ([4], 1.0),
    }
    assert set(history.media) == {
        ("image", "digit"),
        ("image", "digits/0"),
        ("image", "digits/1"),
        ("figure", "plot"),
        ("figure", "plots/0"),
        ("figure", "plots/1"),
        ("histogram", "weights"),
        ("text", "answer"),
        ("video", "film"),
        ("audio", "voice"),
    }
    assert (history.params, history.summary) == ({"lr": 0.1}, {"best": 0.9})
    assert not history.refused


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(["CHW", "HWC", "HW"]), st.data(), st.booleans())
def test_pictures_are_those_that_tensorboard_shows(writer, axes, data, is_float):
    """Whatever the shape: its axes are told, not guessed."""
    sizes = {"C": st.sampled_from([1, 3, 4]), "H": st.integers(1, 5), "W": st.integers(1, 5)}
    shape = [data.draw(sizes[axis]) for axis in axes]
    values = np.random.default_rng(data.draw(st.integers(0, 99))).random(shape)
    array = values if is_float else (values * 255).astype(np.uint8)
    theirs = torch_summary.image("x", array, dataformats=axes).value[0].image
    before = {path.name for path in (writer.folder.path / "files").rglob("*.png")}
    writer.add_image("x", array, dataformats=axes)
    ours = [
        path for path in (writer.folder.path / "files").rglob("*.png") if path.name not in before
    ]
    if ours:  # else this very picture is staged already
        shown = [
            Image.open(one).convert("RGBA")
            for one in (ours[0], BytesIO(theirs.encoded_image_string))
        ]
        assert np.abs(np.asarray(shown[0], int) - np.asarray(shown[1], int)).max() <= 1


WRITER = [name for name in dir(SummaryWriter) if not name.startswith("_")]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", WRITER)
def test_every_call_of_a_summary_writer_is_answered(writer, name, caplog):
    call = getattr(writer, name)
    for _ in range(2):
        call("tag", object()) if name.startswith("add_") else call()
    said = [record.message for record in caplog.records if name in record.message]
    assert len(said) == (name in NOT_COVERED)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from([name for name in WRITER if name.startswith("add_")]),
    st.lists(ODD, min_size=2, max_size=2),
    st.dictionaries(st.text(), ODD, max_size=2),
)
def test_nothing_that_a_writer_is_given_raises(writer, name, values, kwargs):
    kwargs.pop("self", None)
    getattr(writer, name)(*values, **kwargs)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(
        ["log_metrics", "log_hyperparams", "log_image", "log_audio", "log_video", "log_table"]
    ),
    st.lists(ODD, min_size=2, max_size=2),
)
def test_nothing_that_is_logged_raises(logger, name, values):
    getattr(logger, name)(*values)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(recipe=recipes, row=names_and_values())
def test_no_value_raises_or_takes_another_with_it(logger, recipe, row):
    logger.log_hyperparams(made(recipe), metrics=made(row))
    logger.log_hyperparams({"first": 0.5, **made(row)})
    logger.log_metrics({"first": 0.5, "odd": made(recipe), **made(row), "last": 0.25})
    logger.log_metrics(made(recipe), step=made(recipe))
    logger.log_image(made(recipe), [made(recipe)])
    logger.log_table("table", data=made(recipe))
    assert "last" in read_history(logger.experiment.folder).series
