"""Promises 1 and 5 for Weights & Biases, whose client retries for long by itself."""

import os

import pytest
from harness import INSTALLED, wait_until

if "wandb" not in INSTALLED:
    pytest.skip("needs the wandb client", allow_module_level=True)

from outage import STEPS, TROUBLES, Outage, endure
from proxy import Proxy
from wandb_bench import STEP
from wandb_wire import WandbWire

import multitrack


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A stand-in for W&B's server, and the variables that shorten the client's waits."""
    with WandbWire() as wire, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        more = {"INIT_TIMEOUT": "4", "FINISH_TIMEOUT": "20", "SILENT": "true"}
        more |= {"DIR": str(tmp_path_factory.mktemp("wandb"))}
        for name, value in (wire.environ() | {f"WANDB_{k}": v for k, v in more.items()}).items():
            patch.setenv(name, value)
        yield wire


@pytest.fixture(scope="module")
def outages(tmp_path_factory, server):
    folder = tmp_path_factory.mktemp("outages")
    found = {
        name: Outage(name, Proxy(server.url, **trouble), folder, "wandb", "base_url")
        for name, trouble in TROUBLES.items()
    }
    endure(found, folder)
    yield found
    for one in found.values():
        one.proxy.close()


def steps_of(server, run):
    stored = server.runs[run.id]
    assert stored.exit_code == 0
    return [row[STEP] for row in stored.rows if "train/loss" in row]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_training_and_its_end_are_not_held_up(outages, trouble):
    outages[trouble].assert_unhurt()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_end_says_what_is_left_why_and_what_to_type(outages, trouble):
    outages[trouble].assert_told(trouble, "WANDB_API_KEY")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_everything_is_there_once_the_trouble_is_over(outages, server, trouble):
    one = outages[trouble]
    state = one.courier.read_state()
    assert (state.phase, state.refused, state.told) == ("done", 0, "finished")
    assert steps_of(server, one.run) == list(range(STEPS))


def test_a_server_that_dies_in_mid_run_and_comes_back_gets_everything(server, tmp_path):
    proxy = Proxy(server.url)
    settings = {"wandb": {"base_url": proxy.uri}}
    run = multitrack.start_run("outages", report_to="wandb", dir=tmp_path, settings=settings)
    for step in range(100):
        run.log({"train/loss": step / 7}, step=step)
    wait_until(lambda: run.id in server.runs and server.runs[run.id].rows, 120)
    proxy.close()
    for step in range(100, 200):
        run.log({"train/loss": step / 7}, step=step)
    proxy.recover()
    [report] = run.finish(timeout=180, quiet=True)
    proxy.close()
    assert report.delivered, report
    assert steps_of(server, run) == list(range(200))
