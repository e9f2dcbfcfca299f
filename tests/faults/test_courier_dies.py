"""Promise 3: a courier that dies is started again, and repeats at most its last batch."""

import os
import random
import signal
import time

import pytest
from harness import INSTALLED, TRIES, reader_of, wait_until

from multitrack.trackers import registry
from multitrack.trackers.courier import BATCH
from multitrack.trackers.protocol import Repeat


def kill_courier(training, backend, chance, killed):
    """Kill the courier that followed the killed ones, a random moment after it set to work."""
    folder = training.run.courier(backend)

    def at_work():
        state = folder.read_state()
        return state.pid not in {0, *killed} and state.phase in {"delivering", "waiting"}

    wait_until(at_work, 60, folder.log)
    time.sleep(chance.random() * 0.5)
    killed.append(folder.read_state().pid)
    os.kill(killed[-1], signal.SIGKILL)


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize("attempt", range(TRIES))
def test_a_courier_killed_at_random_moments(training, backend, attempt):
    chance = random.Random(f"{backend} {attempt}")
    training.start([backend], pause=0.002)
    training.wait_for_steps(1)
    killed = []
    for _ in range(2):
        kill_courier(training, backend, chance, killed)
    output = training.end()
    state = training.wait_for_delivery(backend)
    stored = reader_of(backend).read(training.run, state)
    steps = [point.step for point in stored.metrics["train/loss"]]
    assert sorted(set(steps)) == training.returned(), output
    repeated = len(steps) - len(set(steps))
    if registry.load(backend).repeat is Repeat.DUPLICATES:
        assert repeated <= 2 * BATCH
    else:
        assert not repeated
    assert state.told == "finished"
    assert not state.refused


@pytest.mark.parametrize("backend", INSTALLED)
def test_a_courier_asked_to_stop_leaves_nothing_undelivered(training, backend):
    training.start([backend], pause=0.002)
    training.wait_for_steps(1)
    folder = training.run.courier(backend)
    wait_until(lambda: folder.read_state().phase in {"delivering", "waiting"}, 60, folder.log)
    os.kill(folder.read_state().pid, signal.SIGTERM)
    training.end()
    stored = reader_of(backend).read(training.run, training.wait_for_delivery(backend))
    assert [point.step for point in stored.metrics["train/loss"]] == training.returned()
