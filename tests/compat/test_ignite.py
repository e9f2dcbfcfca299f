"""multitrack in real engines of ignite, read back with TensorBoard's reader."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from ignite.engine import Engine, Events
from ignite.metrics import Average
from oddities import made, names_and_values, recipes

from multitrack.compat.ignite import MultitrackLogger
from multitrack.trackers.history import read_history


def make_trainer(error=None):
    def update(engine, batch):
        if error and engine.state.iteration == 3:
            raise error
        return {"loss": batch / 4, "note": f"batch {batch}"}

    return Engine(update)


def attach(logger, trainer):
    logger.attach_output_handler(
        trainer, Events.ITERATION_COMPLETED, tag="train", output_transform=lambda output: output
    )


def test_training_reaches_tensorboard(options, stored, histories):
    trainer, evaluator = make_trainer(), Engine(lambda engine, batch: batch)
    Average().attach(evaluator, "mean")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    with MultitrackLogger("digits", "first", config={"lr": 0.5, "token": "x"}, **options) as logger:
        attach(logger, trainer)
        logger.attach_opt_params_handler(trainer, Events.EPOCH_STARTED, optimizer, tag="train")
        logger.attach_output_handler(
            evaluator,
            Events.EPOCH_COMPLETED,
            tag="eval",
            metric_names=["mean"],
            global_step_transform=lambda *_: trainer.state.iteration,
        )
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([1.0, 2.0]))
        trainer.run([1, 2], max_epochs=2)
    points, _ = stored()
    assert points["train/loss"] == [(1, 0.25), (2, 0.5), (3, 0.25), (4, 0.5)]
    assert points["train/lr/group_0"] == [(1, 0.5), (2, 0.5)]
    assert points["eval/mean"] == [(2, 1.5), (4, 1.5)]
    [history] = histories()
    assert (history.header.project, history.header.name) == ("digits", "first")
    assert history.params == {"lr": 0.5, "token": "<redacted>"}
    assert history.media["text", "train/note"] == 4
    assert history.status == "finished"
    assert not history.refused


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_training_that_raises_is_told_at_once(options, histories, error, status):
    trainer, logger = make_trainer(error), MultitrackLogger(**options)
    attach(logger, trainer)
    with pytest.raises(type(error)):
        trainer.run([1, 2], max_epochs=2)
    [history] = histories()
    logger.close()
    assert history.status == histories()[0].status == status
    assert history.error.startswith(type(error).__name__)


def log_and_fail(logger):
    logger.run.log({"loss": 1.0})
    raise ValueError("no")


def test_an_exception_in_the_block_is_the_runs(options, histories):
    with pytest.raises(ValueError, match="no"), MultitrackLogger(**options) as logger:
        log_and_fail(logger)
    [history] = histories()
    assert (history.status, history.error) == ("failed", "ValueError: no")


def test_an_exception_that_is_handled_stays_handled(options, histories):
    trainer, handled = make_trainer(ValueError("no")), []
    trainer.add_event_handler(Events.EXCEPTION_RAISED, handled.append)
    with MultitrackLogger(**options) as logger:
        attach(logger, trainer)
        trainer.run([1, 2], max_epochs=2)
    assert [str(error) for error in handled] == ["no"]
    [history] = histories()
    assert history.status == "finished"


def test_mistakes_are_told_before_training():
    with pytest.raises(ValueError, match="nothing"):
        MultitrackLogger(report_to="nothing")


PROGRAM = """
import os
from pathlib import Path
import ignite.distributed as idist
from ignite.engine import Engine, Events
from multitrack.compat.ignite import MultitrackLogger

def train(rank):
    settings = {"tensorboard": {"logging_dir": Path(os.environ["RUN_DIR"], "tensorboard")}}
    with MultitrackLogger(report_to="tensorboard", settings=settings) as logger:
        trainer = Engine(lambda engine, batch: idist.all_reduce(float(rank)))
        logger.attach_output_handler(
            trainer, Events.ITERATION_COMPLETED, tag="train", output_transform=lambda sum: sum
        )
        trainer.run([1, 2])

with idist.Parallel(backend="gloo") as parallel:
    parallel.run(train)
"""


def test_two_ranks_are_one_run(program, torchrun, stored, histories):
    ended = program(PROGRAM, *torchrun)
    assert ended.code == 0, ended.output
    assert ended.output.count("multitrack: tensorboard: delivered") == 1
    points, _ = stored()
    assert points["train/output"] == [(1, 1.0), (2, 1.0)]
    [history] = histories()
    assert history.status == "finished"


def test_a_step_that_is_no_number_is_named(options, histories):
    trainer, logger = make_trainer(), MultitrackLogger(**options)
    logger.attach_output_handler(
        trainer,
        Events.ITERATION_COMPLETED,
        tag="train",
        output_transform=lambda output: output,
        global_step_transform=lambda *_: "a",
    )
    trainer.run([1, 2])
    logger.close()
    [history] = histories()
    assert len(history.series["train/loss"].steps) == 2  # each still has a step of its own
    assert history.refused == {"step": "step must be a whole number, not 'a'"}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipe=recipes, row=names_and_values())
def test_no_output_raises_into_training(tmp_path_factory, recipe, row):
    folder = tmp_path_factory.getbasetemp() / "odd"
    with MultitrackLogger(report_to="none", dir=folder, config=made(row)) as logger:
        engine = Engine(lambda *_: {**made(row), "last": 0.25})
        for transform in (lambda output: output, lambda _: {"odd": made(recipe), "first": 0.5}):
            logger.attach_output_handler(
                engine, Events.ITERATION_COMPLETED, tag="train", output_transform=transform
            )
        engine.run(range(2))
        run = logger.run
    history = read_history(run.folder)
    assert len(history.series["train/first"].values) == 2
    assert len(history.series["train/last"].values) == 2
