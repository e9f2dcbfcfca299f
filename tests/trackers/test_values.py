"""What users pass in: numbers of every kind, steps, configs and tags."""

import argparse
import array
import collections
import dataclasses
import enum
import itertools
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import msgspec
import pytest

from multitrack.trackers import trees, values
from multitrack.trackers.values import (
    MAX_DEPTH,
    as_number,
    as_step,
    as_tags,
    as_tree,
    take_metrics,
    take_tree,
)

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


class Fails:
    """Fails in whatever it is asked."""

    def to_dict(self):
        raise RuntimeError("no")

    __str__ = __repr__ = to_dict


class Pair(NamedTuple):
    left: int
    right: tuple[int]


@dataclasses.dataclass
class Unset:
    lr: float = 0.1
    started: float = dataclasses.field(init=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (collections.deque([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        (range(10**9), "range(0, 1000000000)"),
        (array.array("d", [1, 2]), [1.0, 2.0]),
        (array.array("d", [0] * 5000), "'d' array of shape (5000,)"),
        (memoryview(b"ab"), [97, 98]),
        ({"b": 1, "a": 2}.keys(), ["b", "a"]),
        ({"a": 1}.items(), [["a", 1]]),
        ({"b", "a"}, ["a", "b"]),
        (collections.UserList([1]), [1]),
        (collections.UserDict(a=1), {"a": 1}),
        (Pair(1, (2,)), {"left": 1, "right": [2]}),
        (Unset(), {"lr": 0.1}),
        (b"bytes", "b'bytes'"),
        (Fails(), "Fails"),
        ({"inner": Fails(), "lr": 0.1}, {"inner": "Fails", "lr": 0.1}),
        ({Fails(): 1, "lr": 0.1}, {"Fails": 1, "lr": 0.1}),
        (10**5000, hex(10**5000)),
        ("\udcff\0", "\\udcff\0"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_structure_is_kept(value, expected):
    assert as_tree({"x": value, "lr": 0.1}) == {"x": expected, "lr": 0.1}


def test_iterators_are_not_used_up():
    values = iter([1, 2])
    as_tree({"x": values})
    assert list(values) == [1, 2]


def test_structure_of_numpy():
    numpy = pytest.importorskip("numpy")
    assert as_tree(
        {
            "short": numpy.arange(3),
            "one": numpy.array([2.5]),
            "number": numpy.array(2.5),
            "long": numpy.zeros((1000, 3), "float32"),
        }
    ) == {
        "short": [0, 1, 2],
        "one": [2.5],
        "number": 2.5,
        "long": "float32 array of shape (1000, 3)",
    }


def test_structure_of_torch():
    torch = pytest.importorskip("torch")
    tree = as_tree(
        {"short": torch.ones(2, 2), "long": torch.ones(1000, 3), "size": torch.Size([4])}
    )
    assert tree == {
        "short": [[1.0, 1.0], [1.0, 1.0]],
        "long": "float32 array of shape (1000, 3)",
        "size": [4],
    }


def test_structure_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2]})
    tree = as_tree({"frame": frame, "column": frame.a, "long": pandas.concat([frame] * 600)})
    assert tree == {
        "frame": {"a": [1, 2]},
        "column": [1, 2],
        "long": "DataFrame of shape (1200, 1)",
    }


def test_struct_of_msgspec():
    class Settings(msgspec.Struct):
        lr: float = 0.1

    assert as_tree(Settings()) == {"lr": 0.1}


def test_attrs_class():
    attrs = pytest.importorskip("attrs")
    made = attrs.make_class(
        "Settings", {"lr": attrs.field(default=0.1), "late": attrs.field(init=False)}
    )
    assert as_tree(made()) == {"lr": 0.1}


def test_pydantic_models_old_and_new():
    pydantic = pytest.importorskip("pydantic")
    pydantic_v1 = pytest.importorskip("pydantic.v1")

    class Broken(pydantic.BaseModel):
        lr: float = 0.1

        @pydantic.model_serializer
        def serialize(self):
            raise RuntimeError("no")

    new = pydantic.create_model("New", lr=(float, 0.1), sizes=(list[int], [1, 2]))
    old = pydantic_v1.create_model("Old", lr=(float, 0.1))
    models = {"new": new(), "old": old(), "root": pydantic.RootModel[list[int]]([1]), "x": Broken()}
    assert as_tree(models) == {
        "new": {"lr": 0.1, "sizes": [1, 2]},
        "old": {"lr": 0.1},
        "root": [1],
        "x": {"lr": 0.1},
    }


def test_config_of_omegaconf_keeps_its_lists_and_what_it_cannot_resolve():
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create(
        {
            "lr": 0.1,
            "model": {"widths": [8, {"k": 2}]},
            "same": "${lr}",
            "checkpoint": "???",
            "lost": "${nowhere}",
            "list": ["${nowhere}", 1, "???"],
        }
    )
    expected = {
        "lr": 0.1,
        "model": {"widths": [8, {"k": 2}]},
        "same": 0.1,
        "checkpoint": "???",
        "lost": "${nowhere}",
        "list": ["${nowhere}", 1, "???"],
    }
    assert take_tree(config) == (expected, {})
    assert as_tree({"deep": [config.model]}) == {"deep": [{"widths": [8, {"k": 2}]}]}


def test_two_keys_of_one_text_are_not_merged():
    assert take_tree({"a": {1: "first", "1": "second"}}) == (
        {"a": {"1": "first"}},
        {"a/1": "the same mapping has another value of this name"},
    )


def test_what_has_no_end_is_cut(alarm, monkeypatch):
    monkeypatch.setattr(trees, "MOST_REPEATED", 10_000)
    monkeypatch.setattr(values, "MOST", 10_000)
    bomb = [0]
    for _ in range(60):
        bomb = [bomb, bomb]
    numbers = {"x": 1.0}
    for _ in range(60):
        numbers = {"left": numbers, "right": numbers}
    with alarm(60):
        as_tree({"bomb": bomb})
        taken, refused = take_tree({"endless": Endless(), "lr": 0.1})
        take_metrics({"cycle": numbers})
    assert taken["lr"] == 0.1
    assert refused == {"endless/…": "it could not be read: only the first 1,000 values are taken"}


class Endless(collections.abc.Mapping):
    """A mapping that says that it has three values, and has one more whenever it is asked."""

    def __len__(self):
        return 3

    def __iter__(self):
        return iter(int, 1)

    def items(self):
        return ((str(number), number) for number in itertools.count())

    def __getitem__(self, key):
        return key


def test_shape_that_never_ends(alarm):
    class Endless:
        shape = property(lambda self: itertools.repeat(1))
        dtype = "float32"

        def tolist(self):
            return [1.0]

    with alarm(10):
        assert as_tree({"x": Endless(), "lr": 0.1})["lr"] == 0.1
        with pytest.raises(TypeError):
            as_number(Endless())


def test_many_numbers_keep_what_json_lacks():
    many = {f"a{number}": float(number) for number in range(100)}
    assert as_tree(many) == many
    assert as_tree(many | {"a0": math.nan})["a0"] == "NaN"
    assert as_tree({"list": [*many.values(), math.inf]})["list"][-1] == "Infinity"
    assert as_tree({"list": [1, 2**70], "big": 2**70}) == {
        "list": [1, str(2**70)],
        "big": str(2**70),
    }
    assert as_tree({"list": [True, 1]})["list"][0] is True
    taken = as_tree({"of": many})
    many["a1"] = -1.0
    assert taken["of"]["a1"] == 1.0, "a copy"
