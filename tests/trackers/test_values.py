"""What users pass in: numbers of every kind, steps, configs and tags."""

import argparse
import dataclasses
import enum
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from multitrack.trackers.values import MAX_DEPTH, as_number, as_step, as_tags, as_tree, take_metrics

BIG = 2**63


class Phase(enum.IntEnum):
    TRAIN = 1


class Count(int):
    pass


class Broken:
    def __float__(self):
        raise ZeroDivisionError("no number today")


class WithToDict:
    def __init__(self, value):
        self.value = value

    def to_dict(self):
        return self.value


@dataclasses.dataclass
class Optimizer:
    name: str = "adamw"
    betas: tuple = (0.9, 0.99)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, True),
        (3, 3),
        (-0.0, -0.0),
        (BIG - 1, BIG - 1),
        (-BIG, -BIG),
        (BIG, float(BIG)),
        (Phase.TRAIN, 1),
        (Count(7), 7),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 4), 0.25),
    ],
    ids=repr,
)
def test_number(value, number, alarm):
    with alarm(10):
        found = as_number(value)
    assert (type(found), repr(found)) == (type(number), repr(number))


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (lambda np: np.float32(0.1), 0.10000000149011612),
        (lambda np: np.float64("nan"), math.nan),
        (lambda np: np.float16(-0.0), -0.0),
        (lambda np: np.longdouble(0.5), 0.5),
        (lambda np: np.int64(BIG - 1), BIG - 1),
        (lambda np: np.uint64(BIG), float(BIG)),
        (lambda np: np.bool_(True), True),
        (lambda np: np.array([[2]]), 2),
        (lambda np: np.array(2.5), 2.5),
    ],
)
def test_number_of_numpy(make, number):
    found = as_number(make(pytest.importorskip("numpy")))
    assert (type(found), repr(found)) == (type(number), repr(number))


@pytest.mark.parametrize(
    ("dtype", "value", "number"),
    [
        ("float32", 0.5, 0.5),
        ("bfloat16", 0.5, 0.5),
        ("int64", BIG - 1, BIG - 1),
        ("bool", True, True),
        ("float32", [math.inf], math.inf),
    ],
)
def test_number_of_torch(dtype, value, number):
    torch = pytest.importorskip("torch")
    found = as_number(torch.tensor(value, dtype=getattr(torch, dtype), requires_grad=False))
    assert (type(found), found) == (type(number), number)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "NoneType is not one number; leave it out"),
        ("0.5", r"use log_text\(\) or summary\(\) for text"),
        ([1], "list is not one number"),
        (1j, "complex is not one number"),
        (object(), "object is not one number"),
        (Path("x"), "PosixPath is not one number"),
    ],
)
def test_what_is_no_number_says_what_to_call(value, message):
    with pytest.raises(TypeError, match=message):
        as_number(value)


def test_array_is_no_number():
    numpy = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match=r"ndarray of shape \(2, 3\) is not one number; reduce it"):
        as_number(numpy.zeros((2, 3)))


def test_metrics_are_flattened_and_the_rest_is_refused_by_name():
    metrics = {
        "a": 1.5,
        "nan": math.nan,
        "inf": -math.inf,
        "eval": {"x": 2, "deep": {"y": True}},
        3: 0.5,
        "none": None,
        "broken": Broken(),
        "huge": 10**400,
        "eval/x": 5,
        "": 1.0,
    }
    taken, refused = take_metrics(metrics)
    assert taken == {
        "a": 1.5,
        "nan": "NaN",
        "inf": "-Infinity",
        "eval/x": 2,
        "eval/deep/y": True,
        "3": 0.5,
    }
    assert list(refused) == ["none", "broken", "huge", "eval/x", ""]
    assert refused["broken"] == "no number today"
    assert refused["eval/x"] == "the same call has another value of this name"


@pytest.mark.parametrize("step", [0, -5, 2**63 - 1, 3.0, Phase.TRAIN])
def test_step(step):
    assert as_step(step) == step
    assert type(as_step(step)) is int


@pytest.mark.parametrize("step", [2**63, 0.5, math.nan, math.inf, True, "3", None, [1]])
def test_what_is_no_step(step):
    with pytest.raises(TypeError):
        as_step(step)


def test_step_of_numpy():
    numpy = pytest.importorskip("numpy")
    assert as_step(numpy.int32(7)) == 7


def test_tree():
    config = {
        "optimizer": Optimizer(),
        "arguments": argparse.Namespace(lr=0.1, out=Path("x/y")),
        "space": SimpleNamespace(a=None),
        "to_dict": WithToDict({"b": {"c": [1, (2, {3})]}}),
        "phase": Phase.TRAIN,
        "count": Count(7),
        "huge": BIG,
        "nan": math.nan,
        "function": len,
        "class": Optimizer,
        1: "one",
    }
    assert as_tree(config) == {
        "optimizer": {"name": "adamw", "betas": [0.9, 0.99]},
        "arguments": {"lr": 0.1, "out": "x/y"},
        "space": {"a": None},
        "to_dict": {"b": {"c": [1, [2, [3]]]}},
        "phase": 1,
        "count": 7,
        "huge": str(BIG),
        "nan": "NaN",
        "function": str(len),
        "class": str(Optimizer),
        "1": "one",
    }


def test_tree_is_a_copy():
    config = {"a": {"b": [1]}}
    as_tree(config)["a"]["b"].append(2)
    assert config == {"a": {"b": [1]}}


def test_tree_that_holds_itself_ends(alarm):
    config = {"x": 1}
    config["left"] = config["right"] = config["both"] = [config, config]
    with alarm(10):
        assert as_tree(config)["x"] == 1


def test_deep_tree_ends_as_text():
    config = leaf = {}
    for _ in range(MAX_DEPTH * 2):
        leaf["x"] = leaf = {}
    tree = as_tree(config)
    for _ in range(MAX_DEPTH):
        tree = tree["x"]
    assert isinstance(tree, str)


@pytest.mark.parametrize("config", [5, "text", [1, 2], None, WithToDict([1]), object()])
def test_config_needs_names(config):
    with pytest.raises(TypeError, match="config must have named values: a dict, a dataclass"):
        as_tree(config)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("baseline", {"baseline": ""}),
        (["a", "b"], {"a": "", "b": ""}),
        ({"team": "vision", "n": 3, "bare": None}, {"team": "vision", "n": "3", "bare": ""}),
        ((), {}),
    ],
)
def test_tags(tags, expected):
    assert as_tags(tags) == expected


def test_what_are_no_tags():
    with pytest.raises(TypeError, match="a name, a list of names, or a mapping, not int"):
        as_tags(5)
