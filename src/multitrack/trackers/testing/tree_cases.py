"""The run as a whole: its name, params, tags, notes, single values and outcome."""

from __future__ import annotations

from typing import Any

from multitrack.trackers.names import flatten
from multitrack.trackers.records import Tree, spell
from multitrack.trackers.testing import scenario
from multitrack.trackers.testing.deliver import Delivered
from multitrack.trackers.testing.suite import Suite, compare

NEVER_KEYS = "gaps, refused_names and refused_keys declare what a backend does not take"


class TreeCases(Suite):
    """What is stored once for the whole run."""

    def test_nothing_else_is_set_aside(self, full: Delivered) -> None:
        """What the courier sets aside is what the test file declares."""
        kinds = {name.split("_", 1)[1] for name in self.gaps}
        declared = self.refused_names | self.refused_keys
        surprising = [r for r in full.refused if r.record not in kinds and r.key not in declared]
        assert not surprising, f"{surprising[:5]} were refused; {NEVER_KEYS}"

    def test_declared_refusals_are_true(self, full: Delivered) -> None:
        """What is declared as refused was refused, with a reason."""
        found = {refusal.key for refusal in full.refused if refusal.reason}
        untrue = sorted((self.refused_names | self.refused_keys) - found)
        assert not untrue, f"{untrue} were not refused: are they stored now? {NEVER_KEYS}"

    def test_gaps_are_told(self, full: Delivered) -> None:
        """What a backend cannot hold is set aside with a reason, not dropped."""
        told = {refusal.record for refusal in full.refused if refusal.reason}
        silent = [name for name in self.gaps if name.split("_", 1)[1] not in told]
        assert not silent, f"declare {silent} with unsupported(...), which refuses with a reason"

    def test_tells_where_to_look(self, full: Delivered) -> None:
        """People get a URL or a command, and the courier the backend's own id."""
        attachment = full.state.attachment
        assert attachment, "start() must return an Attachment"
        assert attachment.id, "Attachment.id must be the backend's own id of the run"
        assert attachment.url, "Attachment.url must be a URL, or a command that shows the run"

    def test_name(self, full: Delivered) -> None:
        """The run has its name."""
        self._check_header(full.stored.name, scenario.NAME, "name", is_kept=self.keeps_name)

    def test_project(self, full: Delivered) -> None:
        """The run belongs to its project."""
        kept = self.keeps_project
        self._check_header(full.stored.project, scenario.PROJECT, "project", is_kept=kept)

    def test_notes(self, full: Delivered) -> None:
        """Notes keep every character."""
        self._check_header(full.stored.notes, scenario.NOTES, "notes", is_kept=self.keeps_notes)

    def test_finished(self, full: Delivered) -> None:
        """A run that ended well is shown so."""
        expected = self.stored_status("finished")
        assert full.stored.status == expected, (
            f"the outcome is {full.stored.status!r}, expected {expected!r}; see finish()"
        )

    def test_params(self, full: Delivered) -> None:
        """Params: nested, long, unicode, None, lists; later values win."""
        trees = [scenario.CONFIG, scenario.PARAMS, scenario.LATER_PARAMS]
        expected = self.stored_params([_flat(tree) for tree in trees])
        self._check_tree(full.stored.params, expected, "params", "log_params")

    def test_tags(self, full: Delivered) -> None:
        """Tags, bare and with a value; later values win."""
        expected = self.stored_tags(scenario.TAGS | scenario.LATER_TAGS)
        self._check_tree(full.stored.tags, expected, "tags", "set_tags")

    def test_summary(self, full: Delivered) -> None:
        """Single values, numbers and text; later values win."""
        logged = scenario.SUMMARY | scenario.LATER_SUMMARY
        expected = {name: _spelled(self.stored_summary(value)) for name, value in logged.items()}
        stored = {name: _spelled(value) for name, value in full.stored.summary.items()}
        self._check_tree(stored, expected, "summary values", "log_summary")

    def _check_tree(self, stored: Tree, expected: dict[str, Any], what: str, method: str) -> None:
        if method in self.gaps:
            assert not stored, f"{what} are stored: take {method} out of `gaps`"
            return
        kept = {name: value for name, value in expected.items() if name not in self.refused_keys}
        compare(stored, kept, what, method)

    def _check_header(self, stored: str | None, logged: str, what: str, *, is_kept: bool) -> None:
        expected = logged if is_kept else None
        assert stored == expected, (
            f"the run's {what}: stored {stored!r}, expected {expected!r}; see start(), or "
            f"keeps_{what}"
        )


def _spelled(value: Any) -> Any:
    return spell(value) if isinstance(value, float) else value


def _flat(tree: Tree) -> dict[str, Any]:
    return dict(flatten(tree))
