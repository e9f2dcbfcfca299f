"""What clients change in a process when they start is given back."""

import os
from threading import Event, Thread

from multitrack.trackers.backends._undisturbed import undisturbed


def test_threads_take_turns(monkeypatch):
    """The second would take what the first has set for what was there, and leave it behind."""
    monkeypatch.setenv("ASKED", "before")
    has_entered, may_leave = Event(), Event()

    def second():
        with undisturbed({"ASKED": "second"}):
            has_entered.set()
            may_leave.wait(5)

    other = Thread(target=second)
    with undisturbed({"ASKED": "first"}):
        other.start()
        assert not has_entered.wait(0.1)
    may_leave.set()
    other.join()
    assert os.environ["ASKED"] == "before"
