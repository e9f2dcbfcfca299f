"""Every record comes back from its line as it went in, to the last bit."""

import math
import struct
import typing
from contextlib import suppress

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from multitrack.trackers.records import (
    NON_FINITE,
    AnyRecord,
    Codec,
    Header,
    Metrics,
    Scalar,
    Tree,
    spell,
)

RECORDS = typing.get_args(AnyRecord)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text().filter(lambda text: text not in NON_FINITE)
PLAIN = st.none() | st.booleans() | INT64 | FINITE | TEXT
TREES = st.dictionaries(
    TEXT,
    st.recursive(PLAIN, lambda x: st.lists(x, max_size=3) | st.dictionaries(TEXT, x, max_size=3)),
    max_size=4,
)


SIMPLE = {
    int: INT64,
    float: FINITE,
    str: TEXT,
    bool: st.booleans(),
    type(None): st.none(),
    Tree: TREES,
    Scalar: st.booleans() | INT64 | TEXT | st.floats().map(spell),
}


def values_of(hint):
    """Return a strategy for what a field may hold."""
    kind, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in SIMPLE:
        return SIMPLE[hint]
    if kind is typing.Literal:
        return st.sampled_from(inner)
    if kind is list:
        return st.lists(values_of(*inner), max_size=3)
    if kind is dict:
        return st.dictionaries(*map(values_of, inner), max_size=4)
    return st.one_of(map(values_of, inner)) if inner else records_of(hint)


def records_of(record):
    hints = typing.get_type_hints(record)
    names = [field.name for field in msgspec.structs.fields(record)]
    return st.builds(record, **{name: values_of(hints[name]) for name in names})


def bits(value):
    """Return what makes two values the same: type, sign of zero, every bit."""
    if isinstance(value, str) and value in NON_FINITE:
        value = NON_FINITE[value]
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else struct.pack(">d", value)
    if isinstance(value, dict):
        return {key: bits(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [bits(inner) for inner in value]
    return type(value), value


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_record_comes_back(record):
    @given(records_of(record))
    def check(written):
        line = Codec.encode(written)
        read = Codec.decode(line)
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert type(read) is type(written)
        assert bits(msgspec.to_builtins(read)) == bits(msgspec.to_builtins(written))

    check()


@given(st.floats())
@example(-0.0)
@example(5e-324)
@example(2.0**53 + 2)
@example(1e16)
@example(1e22)
@example(1.7976931348623157e308)
def test_every_float_comes_back_exactly(value):
    record = Codec.decode(Codec.encode(Metrics(time=0.0, step=0, values={"x": spell(value)})))
    assert type(record.values["x"]) is float
    assert bits(record.values["x"]) == bits(value)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 2**53 + 1, True, False])
def test_integer_stays_an_integer(value):
    record = Codec.decode(Codec.encode(Metrics(time=0.0, step=0, values={"x": value})))
    assert bits(record.values["x"]) == bits(value)


def test_field_of_a_later_version_is_ignored():
    line = b'{"type":"metrics","time":1.0,"step":2,"values":{},"invented":[1,{}]}'
    assert Codec.decode(line) == Metrics(time=1.0, step=2, values={})


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", b'{"type":"invented","time":1.0}', b"\xff"])
def test_what_is_no_record_says_so(line):
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        Codec.decode(line)


@given(st.binary())
def test_garbage_raises_nothing_else(line):
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        Codec.decode(line)


@given(records_of(Header), st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_damage_raises_nothing_else(header, position, garbage):
    line = Codec.encode(header)
    assume(position < len(line))
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        Codec.decode(line[:position] + garbage + line[position + len(garbage) :])
