"""multitrack in a real Accelerator, read back with TensorBoard's reader and from the journal."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from accelerate import Accelerator, tracking
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oddities import made, names_and_values, recipes
from PIL import Image

from multitrack.compat.accelerate import MultitrackTracker
from multitrack.trackers.history import read_history
from multitrack.trackers.run import Run


def train(accelerator, steps=4, fail_at=None):
    """Train on one batch, and return the losses."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
    losses = []
    for step in range(steps):
        if step == fail_at:
            raise ValueError("no more")
        loss = model(torch.ones(2, 4)).pow(2).mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        accelerator.log({"train/loss": loss.detach()}, step=step)
        losses.append(loss.item())
    return losses


@contextmanager
def ending(accelerator):
    try:
        yield
    finally:
        accelerator.end_training()


def make(options, config=None):
    """Return an accelerator whose run has begun, which older releases do with a config."""
    tracker = MultitrackTracker("digits", "first", **options)
    accelerator = Accelerator(cpu=True, log_with=tracker)
    accelerator.init_trackers("digits", config=config or {})
    return accelerator


def test_training_reaches_tensorboard(options, stored, histories):
    accelerator = make(options, {"lr": 0.1, "hub_token": "secret", "optim": {"name": "sgd"}})
    losses = train(accelerator)
    accelerator.end_training()
    points, _ = stored()
    assert points["train/loss"] == list(enumerate(losses))
    [history] = histories()
    assert (history.header.project, history.header.name) == ("digits", "first")
    assert history.params == {"lr": 0.1, "hub_token": "<redacted>", "optim": {"name": "sgd"}}
    assert history.status == "finished"


def test_epoch_text_and_nested_names(options, histories):
    accelerator = make(options)
    kwargs = {"multitrack": {"epoch": 0.5}}
    accelerator.log({"eval": {"f1": 1.0}, "answer": "yes"}, step=3, log_kwargs=kwargs)
    accelerator.log({"loss": 0.5})
    accelerator.end_training()
    [history] = histories()
    assert list(history.series["eval/f1"].steps) == [3]
    assert list(history.series["loss"].steps) == [4]
    assert history.media["text", "answer"] == 1
    assert not history.refused


def test_pictures_and_tables(options, stored, histories):
    accelerator = make(options)
    tracker = accelerator.get_tracker("multitrack")
    tracker.log_images({"digit": np.zeros((2, 8, 8, 3), np.uint8)}, step=1)
    tracker.log_images({"pillow": [Image.new("L", (4, 4))]}, step=1, caption="grey")
    tracker.log_table("errors", columns=["a", "b"], data=[[1, 2], [3, 4]], step=1)
    accelerator.end_training()
    _, tags = stored()
    assert {"digit/0", "digit/1", "pillow/0"} <= set(tags["images"])
    [history] = histories()
    assert history.media["table", "errors"] == 1
    assert not history.refused


GREY, COLOUR = np.zeros((5, 6), np.uint8), np.zeros((5, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (GREY, ["im"]),
        (COLOUR, ["im"]),
        (COLOUR.transpose(2, 0, 1), ["im"]),
        (np.zeros((64, 64, 3), np.uint8), ["im"]),
        (torch.zeros(3, 5, 6), ["im"]),
        (torch.zeros(5, 6), ["im"]),
        (Image.new("L", (4, 4)), ["im"]),
        (GREY.tolist(), ["im"]),
        (COLOUR.tolist(), ["im"]),
        ([GREY], ["im/0"]),
        ([COLOUR, torch.zeros(3, 5, 6), Image.new("L", (4, 4))], ["im/0", "im/1", "im/2"]),
        ((GREY, GREY), ["im/0", "im/1"]),
        (np.zeros((2, 5, 6, 3)), ["im/0", "im/1"]),
        (torch.zeros(2, 3, 5, 6), ["im/0", "im/1"]),
        (torch.zeros(2, 1, 5, 6), ["im/0", "im/1"]),
        (np.zeros((7, 5, 6)), [f"im/{number}" for number in range(7)]),
        (iter([GREY, GREY]), ["im/0", "im/1"]),
    ],
    ids=lambda given: f"{type(given).__name__}{getattr(given, 'shape', '')}",
)
def test_one_picture_is_one_and_a_batch_is_several(tmp_path, given, names):
    tracker = MultitrackTracker(report_to="none", dir=tmp_path)
    tracker.log_images({"im": given}, step=3)
    tracker.finish()
    history = read_history(tracker.run.folder)
    assert dict(history.media) == {("image", name): 1 for name in names}
    assert not history.refused


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
METHODS = [
    *("log", "log_images", "log_figure", "log_artifact", "log_artifacts", "log_table"),
    "store_init_configuration",
]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(METHODS), st.lists(ODD, min_size=1, max_size=2), st.dictionaries(st.text(), ODD)
)
def test_nothing_that_is_logged_raises(odd_tracker, method, values, kwargs):
    kwargs.pop("self", None)
    getattr(odd_tracker, method)(*(values * 2)[: 2 if method == "log_figure" else 1], **kwargs)


@pytest.fixture(scope="module")
def odd_tracker(tmp_path_factory):
    tracker = MultitrackTracker(report_to="none", dir=tmp_path_factory.mktemp("odd"))
    tracker.start()
    yield tracker
    tracker.finish()


def test_figures_and_artifacts(options, histories, tmp_path):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "one.txt").write_text("1")
    accelerator = make(options)
    tracker = accelerator.get_tracker("multitrack")
    tracker.log_figure(figure, "confusion.png", dpi=10)
    tracker.log_artifact(str(tmp_path / "plots" / "one.txt"))
    tracker.log_artifact(tmp_path / "plots" / "one.txt", "notes", kind="note")
    tracker.log_artifacts(str(tmp_path / "plots"))
    tracker.log_artifacts(tmp_path / "plots", artifact_path="all")
    accelerator.end_training()
    [history] = histories()
    assert history.media["figure", "confusion.png"] == 1
    found = [(artifact.name, artifact.kind, artifact.folder) for artifact in history.artifacts]
    assert found == [
        ("one.txt", "file", False),
        ("notes/one.txt", "note", False),
        ("plots", "file", True),
        ("all", "file", True),
    ]
    assert list(history.refused) == ["log_figure(dpi=)"]


def test_options_of_other_trackers_are_told_once(options, histories, caplog):
    accelerator = make(options)
    for step in range(3):
        kwargs = {"multitrack": {"commit": False, "epoch": step}}
        accelerator.log({"loss": 1.0}, step=step, log_kwargs=kwargs)
    accelerator.end_training()
    [history] = histories()
    assert list(history.series["loss"].steps) == [0, 1, 2]
    assert sum("log(commit=)" in record.message for record in caplog.records) == 1


def test_after_the_end_another_run_begins(options, histories):
    accelerator = make(options | {"report_to": "none", "settings": None}, {"fold": 0})
    accelerator.log({"loss": 0.0}, step=0)
    accelerator.end_training()
    accelerator.trackers = []
    accelerator.init_trackers("digits", config={"fold": 1})
    accelerator.log({"loss": 1.0}, step=0)
    accelerator.end_training()
    runs = histories()
    assert [history.params for history in runs] == [{"fold": 0}, {"fold": 1}]
    assert [list(history.series["loss"].steps) for history in runs] == [[0], [0]]


def test_the_run_is_what_unwrapping_gives(options):
    accelerator = make(options)
    run = accelerator.get_tracker("multitrack", unwrap=True)
    assert isinstance(run, Run)
    accelerator.end_training()


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_a_run_that_is_ended_while_an_exception_passes(options, histories, error, status):
    accelerator = make(options)
    with pytest.raises(type(error)), ending(accelerator):
        raise error
    [history] = histories()
    assert history.status == status
    assert history.error.startswith(type(error).__name__)


def test_an_exception_that_was_handled_before_is_not_the_runs(options, histories):
    try:
        _ = {}["a batch that was too large"]
    except KeyError:
        accelerator = make(options)
        train(accelerator)
        accelerator.end_training()
    [history] = histories()
    assert history.status == "finished"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"report_to": "nothing"}, "nothing"), ({"colour": 1}, "colour"), ({"run_id": "/"}, "run_id")],
)
def test_mistakes_are_told_before_training(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MultitrackTracker(**wrong)


@pytest.mark.skipif(
    not hasattr(tracking, "register_tracker_class"), reason="accelerate has no such function yet"
)
def test_the_registered_class_gets_its_project(options, histories, monkeypatch):
    monkeypatch.setattr(tracking, "LOGGER_TYPE_TO_CLASS", {**tracking.LOGGER_TYPE_TO_CLASS})
    monkeypatch.setattr(
        "accelerate.accelerator.LOGGER_TYPE_TO_CLASS", tracking.LOGGER_TYPE_TO_CLASS
    )
    tracking.register_tracker_class(MultitrackTracker)
    accelerator = Accelerator(cpu=True, log_with="multitrack")
    accelerator.init_trackers("digits", init_kwargs={"multitrack": options})
    train(accelerator)
    accelerator.end_training()
    [history] = histories()
    assert history.header.project == "digits"


PROGRAM = """
import os
from pathlib import Path
import torch
from accelerate import Accelerator
from multitrack.compat.accelerate import MultitrackTracker

settings = {"tensorboard": {"logging_dir": Path(os.environ["RUN_DIR"], "tensorboard")}}
tracker = MultitrackTracker("digits", report_to="tensorboard", settings=settings)
accelerator = Accelerator(cpu=True, log_with=tracker)
accelerator.init_trackers("digits", config={"processes": accelerator.num_processes})
for step in range(3):
    here = torch.tensor(float(accelerator.process_index))
    accelerator.log({"mean": accelerator.reduce(here, "mean")}, step=step)
rank, has_run = accelerator.process_index, tracker.tracker is not None
print(f"rank {rank} has a run: {has_run}\\n", end="", flush=True)  # whole: ranks share a pipe
"""


def test_two_ranks_are_one_run(program, torchrun, stored, histories):
    ended = program(PROGRAM + "accelerator.end_training()\n", *torchrun)
    assert ended.code == 0, ended.output
    assert "rank 0 has a run: True" in ended.output
    assert "rank 1 has a run: False" in ended.output
    assert ended.output.count("multitrack: tensorboard: delivered") == 1
    points, _ = stored()
    assert points["mean"] == [(0, 0.5), (1, 0.5), (2, 0.5)]
    [history] = histories()
    assert history.params == {"processes": 2}
    assert history.status == "finished"


def test_a_program_that_an_exception_ends(program, histories):
    ended = program(PROGRAM + "raise ValueError('no more')\n")
    assert ended.code == 1
    [history] = histories()
    assert (history.status, history.error) == ("failed", "ValueError: no more")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(recipe=recipes, row=names_and_values())
def test_no_value_raises_or_takes_another_with_it(odd_tracker, recipe, row):
    tracker = odd_tracker
    tracker.store_init_configuration({"first": 0.5, **made(row)})
    tracker.log({"first": 0.5, "odd": made(recipe), **made(row), "last": 0.25})
    for call in (tracker.log, tracker.log_images, tracker.store_init_configuration):
        call(made(recipe))
    tracker.log_table(made(recipe), data=[[made(recipe)]])
    assert "last" in read_history(tracker.run.folder).series
