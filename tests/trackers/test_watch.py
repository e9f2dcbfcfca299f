"""Watching a torch model: what is looked at, when, and that training never pays with more."""

import math

import pytest

from multitrack.trackers import watch
from multitrack.trackers.records import Histogram, Metrics

torch = pytest.importorskip("torch")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))


@pytest.fixture
def hooks():
    from torch.optim.optimizer import _global_optimizer_pre_hooks

    return _global_optimizer_pre_hooks


def train(run, model, steps, optimizer=None):
    optimizer = optimizer or torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.1
    )
    for step in range(steps):
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        run.log({"loss": 1.0}, step=step)


def seen(records, run):
    return [(h.step, h.key) for h in records(run, Histogram)]


def test_gradients_every_few_steps(start, records, model):
    run = start()
    run.watch(model, every=3)
    train(run, model, 7)
    names = [f"gradients/{layer}.{part}" for layer in (0, 1) for part in ("weight", "bias")]
    assert seen(records, run) == [(step, name) for step in (0, 2, 5) for name in names]
    assert [m.step for m in records(run, Metrics)] == list(range(7)), "no step is used up"


def test_histogram_holds_the_values(start, records, model):
    run = start()
    run.watch(model, log="parameters", bins=5)
    numpy = pytest.importorskip("numpy")
    weight = model[0].weight.detach().numpy().copy()
    train(run, model, 1)
    found = {h.key: h for h in records(run, Histogram)}
    one = found["parameters/0.weight"]
    counts, edges = numpy.histogram(weight, bins=5)
    assert (one.counts, one.edges) == (counts.tolist(), pytest.approx(edges.tolist()))
    assert one.total == pytest.approx(float(weight.sum()), rel=1e-5)
    assert one.squares == pytest.approx(float((weight**2).sum()), rel=1e-5)
    assert found["parameters/1.bias"].counts == [0, 0, 1, 0, 0]


def test_accumulated_gradients_are_seen_whole(start, records, model):
    run = start()
    run.watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    bias = next(h for h in records(run, Histogram) if h.key == "gradients/1.bias")
    assert bias.total == 4.0


def test_frozen_and_unused_parameters_have_no_gradients(start, records, model):
    run = start()
    model[0].weight.requires_grad_(False)
    model.register_parameter("unused", torch.nn.Parameter(torch.zeros(2)))
    model.register_parameter("empty", torch.nn.Parameter(torch.zeros(0)))
    run.watch(model, log="all")
    train(run, model, 1)
    names = {name for _, name in seen(records, run)}
    assert "gradients/0.bias" in names
    assert names.isdisjoint({"gradients/0.weight", "gradients/unused", "parameters/0.weight"})
    assert "parameters/unused" in names


def test_values_that_are_not_finite_are_counted(start, records, model):
    run = start()
    run.watch(model)
    model[0].weight.register_hook(lambda g: torch.full_like(g, math.nan))
    model[0].bias.register_hook(lambda g: torch.tensor([math.inf, 1.0, 2.0]))
    train(run, model, 1)
    counts = records(run, Metrics)[0]
    assert (counts.step, counts.values) == (
        0,
        {"gradients/0.weight/non_finite": 12, "gradients/0.bias/non_finite": 1},
    )
    found = {h.key: h for h in records(run, Histogram)}
    assert "gradients/0.weight" not in found
    assert (found["gradients/0.bias"].edges[0], found["gradients/0.bias"].edges[-1]) == (1.0, 2.0)


@pytest.mark.parametrize(
    "values",
    [
        torch.tensor([-3e38, 0.0, 3e38]),
        torch.tensor([0.0, 1e-45]),
        torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.tensor([1 + 2j]),
        torch.tensor([[0.0, 1.0], [2.0, 0.0]]).to_sparse(),
        torch.tensor(7),
    ],
)
def test_tensors_of_all_kinds(values):
    histogram, non_finite = watch.measure(values, 4)
    assert non_finite == 0
    total = 2 if values.is_complex() or values.is_sparse else values.numel()
    assert sum(histogram["counts"]) == total
    assert len(histogram["edges"]) == 5
    assert histogram["edges"] == sorted(histogram["edges"])


def test_two_models_and_their_optimizers_are_counted_apart(start, records, model):
    run = start()
    other = torch.nn.Linear(4, 1)
    run.watch(model, name="left", every=2)
    run.watch(other, name="right", every=2)
    optimizers = [torch.optim.SGD(one.parameters(), lr=0.1) for one in (model, other)]
    for _ in range(2):
        for one, optimizer in zip((model, other), optimizers, strict=True):
            train(run, one, 1, optimizer)
    names = [name for _, name in seen(records, run)]
    assert names.count("gradients/left/0.bias") == names.count("gradients/right/bias") == 1


def test_compiled_model_keeps_its_names(start, records, model):
    run = start()
    run.watch(torch.compile(model, backend="eager"))
    train(run, model, 1)
    assert (0, "gradients/0.bias") in seen(records, run)


def test_hooks_are_removed(start, records, model, hooks):
    before = len(hooks)
    run = start()
    run.watch(model)
    run.watch(model)
    assert len(hooks) == before + 1, "one that is watched is watched anew"
    run.unwatch(model)
    run.unwatch(model)
    assert len(hooks) == before
    train(run, model, 1)
    assert not seen(records, run)
    run.watch(model)
    run.finish(wait=False)
    assert len(hooks) == before


def test_failure_stops_watching_not_training(start, records, model, hooks, monkeypatch, caplog):
    monkeypatch.setattr(watch, "measure", lambda *_: 1 / 0)
    run = start()
    run.watch(model)
    before = len(hooks)
    train(run, model, 2)
    assert len(records(run, Metrics)) == 2
    assert len(hooks) == before - 1
    assert "no longer watched: ZeroDivisionError" in caplog.text


def test_training_is_the_same(start, model):
    torch.manual_seed(1)
    run = start()
    run.watch(model, log="all", every=1)
    state = torch.get_rng_state()
    train(run, model, 2)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"log": "weights"}, ValueError, "log is 'weights'; allowed: gradients, parameters, all"),
        ({"every": 0}, ValueError, "every is 0; allowed: a whole number above 0"),
        ({"bins": 1.5}, ValueError, "bins is 1.5"),
        ({"model": "resnet"}, TypeError, "a torch.nn.Module can be watched, not str"),
    ],
)
def test_mistakes_are_named(start, model, hooks, options, error, message):
    run = start()
    before = len(hooks)
    with pytest.raises(error, match=message):
        run.watch(**{"model": model} | options)
    assert len(hooks) == before
