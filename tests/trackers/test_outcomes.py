"""What an exception says of a run, whose package is not imported to know it."""

import asyncio
import bdb
import concurrent.futures
import unittest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitrack.trackers.outcomes import ENDS_WELL, FINISHED, INTERRUPTS, ending_of, outcome_of


def made(package, name, *bases):
    """Return a class as a package's own, with a class of a user's below it."""
    known = type(name, bases or (Exception,), {"__module__": f"{package}.exceptions"})
    return type("Mine", (known,), {"__module__": "__main__"})


@pytest.mark.parametrize(("package", "name"), sorted(ENDS_WELL))
def test_framework_that_ends_a_training_is_no_failure(package, name):
    error = made(package, name)("enough")
    assert outcome_of(error) == FINISHED
    assert ending_of(error).status == "failed"  # if nobody handles it


@pytest.mark.parametrize(("package", "name"), sorted(INTERRUPTS))
def test_what_stops_a_training_from_outside_interrupts_it(package, name):
    assert outcome_of(made(package, name)("stop")).status == "interrupted"


def test_own_exceptions_of_python():
    errors = (asyncio.CancelledError(), concurrent.futures.CancelledError(), bdb.BdbQuit())
    assert {outcome_of(error).status for error in errors} == {"interrupted"}
    assert outcome_of(unittest.SkipTest("no GPU")) == FINISHED
    assert outcome_of(StopIteration()).status == "failed"  # data that ended too soon


def test_exit_of_a_command_line():
    kind = made("click", "Exit", RuntimeError)
    left, failed = kind(), kind()
    left.exit_code, failed.exit_code = 0, 2
    assert (outcome_of(left), outcome_of(failed).status) == (FINISHED, "failed")


@given(st.none() | st.booleans() | st.integers(-3, 300) | st.text() | st.floats() | st.just([]))
def test_exit_code_means_what_it_means_to_python(code):
    is_clean = code is None or (isinstance(code, int) and code == 0)
    assert (ending_of(SystemExit(code)) == FINISHED) == is_clean


def test_a_bare_exit_code_names_the_error_behind_it():
    error = SystemExit(4)
    error.__context__ = ValueError("no data")
    assert ending_of(error).error == "ValueError: no data (exit code 4)"
