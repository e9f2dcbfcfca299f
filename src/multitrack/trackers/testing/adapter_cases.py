"""The adapter's class: complete, documented, cheap to import."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import packages_distributions

from multitrack.trackers.protocol import METHODS, RECORD_METHODS, Repeat, Unsupported, describe
from multitrack.trackers.settings import Settings, variables
from multitrack.trackers.testing.suite import Suite


class AdapterCases(Suite):
    """What can be said of an adapter without its client."""

    def test_is_what_users_name(self) -> None:
        """The backend's name is the class's own."""
        assert self.tracker_type.name == self.tracker, "Tracker.name must be the backend's name"

    def test_names_its_distributions(self) -> None:
        """`pip` can be told what to install."""
        assert self.tracker_type.distributions, "distributions must name the client on PyPI"

    def test_has_every_method(self) -> None:
        """No method of the protocol is forgotten, and none is left abstract."""
        adapter = self.tracker_type
        missing = [name for name in METHODS if not callable(getattr(adapter, name, None))]
        abstract = sorted(getattr(adapter, "__abstractmethods__", ()))
        assert not missing + abstract, f"{adapter.__name__} lacks {missing + abstract}"

    def test_declares_its_ways(self) -> None:
        """Repeat, batch size, placement and settings are declared with what the protocol takes."""
        adapter = self.tracker_type
        assert isinstance(adapter.repeat, Repeat), "repeat must be a Repeat"
        assert adapter.batch_size >= 1, "batch_size must be at least 1"
        assert adapter.placement in {"courier", "trainer", "source"}, "placement is none"
        assert issubclass(adapter.settings_type, Settings), "settings_type must be a Settings"

    def test_says_where_each_record_is_stored(self) -> None:
        """Every method that takes records has a cell in the capability table."""
        silent = [name for name in RECORD_METHODS if not describe(getattr(self.tracker_type, name))]
        assert not silent, f"decorate {silent} with @stored_as(...), or declare unsupported(...)"

    def test_gaps_are_the_declared_ones(self) -> None:
        """A gap that closes, or a new one, must be declared in the test file."""
        methods = {name: getattr(self.tracker_type, name) for name in RECORD_METHODS}
        found = {name: m.gap for name, m in methods.items() if isinstance(m, Unsupported)}
        assert found == dict(self.gaps), (
            f"the adapter's gaps are {found}, those of the test file {dict(self.gaps)}: a gap "
            "that closed must leave `gaps`, a new one must enter it"
        )

    def test_settings_are_documented(self) -> None:
        """Every variable says what it means."""
        settings = self.tracker_type.settings_type
        silent = [v.env.name for v in variables(settings) if not v.env.help]
        assert not silent, f"give Env(..., help=...) to {silent}"

    def test_says_where_its_settings_lead(self) -> None:
        """`multitrack doctor` learns it from the settings alone."""
        access = self.tracker_type.settings_type().access()
        assert access.mode, "Access.mode must say in a word how runs are delivered"

    def test_importing_it_imports_no_client(self) -> None:
        """The client is imported inside methods, in the courier, and nowhere else."""
        wanted = {name.lower() for name in self.tracker_type.distributions}
        clients = [
            module
            for module, distributions in packages_distributions().items()
            if wanted & {name.lower() for name in distributions}
        ]
        code = (
            "import sys; from multitrack.trackers.registry import load; "
            f"load({self.tracker!r}).settings_type().access(); "
            f"print(*sorted({{*{clients!r}, 'torch'}} & {{*sys.modules}}))"
        )
        command = [sys.executable, "-c", code]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        assert not found, f"importing the adapter imports {found}: import it inside methods"
