"""Promise 2: what was logged before the trainer died reaches every backend, with its status."""

import random
import signal

import pytest
from harness import INSTALLED, TRIES, reader_of

KILLS = {"SIGKILL": "killed", "SIGTERM": "killed", "SIGINT": "interrupted"}


def assert_whole(training, status):
    """Assert that each backend holds every step that log() returned from, once, and the status."""
    returned = training.returned()
    for backend in INSTALLED:
        state = training.wait_for_delivery(backend)
        reader = reader_of(backend)
        stored = reader.read(training.run, state)
        steps = [point.step for point in stored.metrics["train/loss"]]
        assert steps[: len(returned)] == returned, backend
        assert len(steps) <= len(returned) + 1, "at most the call that was under way"
        values = [point.value for point in stored.metrics["train/loss"]]
        assert values == pytest.approx([step / 7 for step in steps], rel=1e-6), backend
        assert stored.status == reader.statuses.get(status, status), backend
        assert state.told == status


@pytest.mark.parametrize("sent", KILLS)
@pytest.mark.parametrize("attempt", range(TRIES))
def test_a_signal_at_a_random_moment(training, sent, attempt):
    chance = random.Random(f"{sent} {attempt}")
    training.start(INSTALLED)
    training.wait_for_steps(chance.choice([1, 10, 300, chance.randrange(3000)]))
    training.kill(getattr(signal, sent))
    assert_whole(training, KILLS[sent])


@pytest.mark.parametrize("sent", KILLS if TRIES > 1 else ["SIGKILL"])
@pytest.mark.parametrize("attempt", range(TRIES))
def test_couriers_in_the_trainer_die_with_it_and_sync_brings_the_rest(training, sent, attempt):
    """As in a notebook: each courier is a thread."""
    chance = random.Random(f"thread {sent} {attempt}")
    training.start(INSTALLED, delivery="thread")
    training.wait_for_steps(chance.choice([1, 10, 300, chance.randrange(3000)]))
    training.kill(getattr(signal, sent))
    result = training.sync()
    assert result.returncode == 0, result.stdout + result.stderr
    assert_whole(training, KILLS[sent])


@pytest.mark.parametrize("ending", ["exception", "exit", "memory"])
@pytest.mark.parametrize("attempt", range(max(1, TRIES // 2)))
def test_an_error_in_the_training(training, ending, attempt):
    at = random.Random(f"{ending} {attempt}").randrange(500)
    training.start(INSTALLED, ending=ending, at=at)
    training.process.communicate(timeout=180)
    assert_whole(training, "failed")


def test_a_training_that_ends_well(training):
    training.start(INSTALLED, steps=300)
    output, _ = training.process.communicate(timeout=180)
    assert training.process.returncode == 0
    for backend in INSTALLED:
        assert f"multitrack: {backend}: delivered" in output
    assert_whole(training, "finished")
