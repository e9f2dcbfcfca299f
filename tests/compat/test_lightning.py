"""multitrack in a real Trainer of Lightning, read back with TensorBoard's reader."""

import pickle

import numpy as np
import pytest
import pytorch_lightning
import torch

from multitrack.compat.lightning import MultitrackLogger

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


@pytest.mark.parametrize(
    ("images", "caption", "message"), [(np.zeros(3), None, "list"), ([1, 2], ["a"], "caption")]
)
def test_lists_are_checked(logger, images, caption, message):
    with pytest.raises((TypeError, ValueError), match=message):
        logger.log_image("digit", images, **({"caption": caption} if caption else {}))


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
