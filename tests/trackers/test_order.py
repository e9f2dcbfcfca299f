"""What the code says beats what the environment says: one order for all adapters and fields."""

from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from multitrack.trackers import registry
from multitrack.trackers.settings import load, parse, variables

FIELDS = [
    pytest.param(settings_type, variable, id=f"{name}-{variable.field}")
    for name in registry.names()
    if registry.is_built_in(name)
    for settings_type in [registry.load(name).settings_type]
    for variable in variables(settings_type)
]


def words(variable):
    """Return two different texts that a variable may hold, neither of them the default."""
    for option in [*get_args(variable.type), variable.type]:
        kind = get_origin(option) or option
        found = {
            bool: ["false", "true"],
            int: ["3", "4"],
            float: ["3.5", "4.5"],
            str: ["one", "two"],
            Path: ["/one", "/two"],
            list: ["one", "two"],
            dict: ['{"a": "1"}', '{"a": "2"}'],
            Literal: [str(word) for word in get_args(option)],
        }.get(kind, [])
        values = [(text, parse(variable, text, source="a test")) for text in found]
        others = [pair for pair in values if pair[1] != variable.default] + values
        if len(others) > 1:
            return others[0], others[1] if others[1][1] != others[0][1] else others[-1]
    raise AssertionError(f"{variable.field} has a type that this test does not know")


@pytest.mark.parametrize(("settings_type", "variable"), FIELDS)
def test_an_argument_beats_variables_and_these_what_was_saved(settings_type, variable):
    (text, by_variable), (_, by_code) = words(variable)
    environ = dict.fromkeys(variable.env.names, text)
    field = variable.field
    assert getattr(load(settings_type, environ={}), field) == variable.default
    assert getattr(load(settings_type, environ=environ), field) == by_variable
    told = load(settings_type, environ=environ, arguments={field: by_code})
    assert getattr(told, field) == by_code
    assert told.prefer(field, "the run's own") == by_code
    untold = load(settings_type, environ=environ)
    assert untold.prefer(field, "the run's own") == "the run's own"
    assert untold.prefer(field, None) == by_variable


def test_the_order_is_no_setting():
    settings_type = registry.load("mlflow").settings_type
    with pytest.raises(ValueError, match="has no setting 'given'"):
        load(settings_type, environ={}, arguments={"given": ["experiment_id"]})
