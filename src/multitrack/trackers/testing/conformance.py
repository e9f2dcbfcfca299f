"""`TrackerConformance`: what every adapter is held to, with its real client."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest

from multitrack.trackers.journal import Entry, JournalReader
from multitrack.trackers.names import flatten
from multitrack.trackers.protocol import METHODS, RECORD_METHODS, Gap, Repeat, Unsupported, describe
from multitrack.trackers.records import EndStatus, Metrics
from multitrack.trackers.settings import variables
from multitrack.trackers.testing import samples, scenario
from multitrack.trackers.testing.backend import Backend, Delivered
from multitrack.trackers.testing.stored import Item, Point
from multitrack.trackers.testing.tape import Tape


class TrackerConformance(Backend):
    """Subclass this in a backend's test file, as ``Test…``; see `Backend` for what to give."""

    _full: ClassVar[Delivered | Exception]

    @pytest.fixture
    def full(self, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
        """The run that holds everything, delivered once for all tests of the class."""
        cls = type(self)
        if "_full" not in cls.__dict__:
            try:
                cls._full = self._deliver_everything(tmp_path_factory.mktemp(self.tracker))
            except Exception as error:
                cls._full = error
        if isinstance(cls._full, Exception):
            raise cls._full
        return cls._full

    def _deliver_everything(self, tmp_path: Path) -> Delivered:
        run = Tape(
            tmp_path / "runs_of_multitrack",
            project=scenario.PROJECT,
            name=scenario.NAME,
            notes=scenario.NOTES,
            config=scenario.CONFIG,
            tags=scenario.TAGS,
        )
        scenario.record_everything(run, tmp_path)
        run.finish("finished")
        return self.deliver(run.folder, self.environ(tmp_path))

    # -- the adapter's class ------------------------------------------------------------------

    def test_name_is_the_one_users_write(self) -> None:
        assert self.tracker_type.name == self.tracker

    def test_has_every_method(self) -> None:
        missing = [name for name in METHODS if not callable(getattr(self.tracker_type, name, None))]
        assert not missing, f"{self.tracker_type.__name__} lacks {missing}"

    def test_says_where_each_record_is_stored(self) -> None:
        silent = [name for name in RECORD_METHODS if not describe(getattr(self.tracker_type, name))]
        assert not silent, f"decorate {silent} with @stored_as(...), or declare unsupported(...)"

    def test_gaps_are_declared_in_the_test_file(self) -> None:
        methods = {name: getattr(self.tracker_type, name) for name in RECORD_METHODS}
        found = {name: m.gap for name, m in methods.items() if isinstance(m, Unsupported)}
        assert found == dict(self.gaps), (
            f"the adapter's gaps are {found}, the test file's {dict(self.gaps)}: "
            "a gap that closed must leave `gaps`, a new one must enter it"
        )

    def test_settings_are_documented(self) -> None:
        silent = [v.env.name for v in variables(self.tracker_type.settings_type) if not v.env.help]
        assert not silent, f"give Env(..., help=...) for {silent}"

    # -- the run --------------------------------------------------------------------------------

    def test_nothing_is_set_aside_that_is_not_declared(self, full: Delivered) -> None:
        declared = self.refused_names | self.refused_keys
        kinds = {name.removeprefix("log_").removeprefix("set_") for name in self.gaps}
        surprising = [r for r in full.refused if r.record not in kinds and r.key not in declared]
        assert not surprising, f"the adapter refused {surprising[:5]}"

    def test_says_where_to_look(self, full: Delivered) -> None:
        attachment = full.state.attachment
        assert attachment, "start() must return an Attachment"
        assert attachment.id, "Attachment.id must be the backend's own id of the run"
        assert attachment.url, "Attachment.url must be a URL, or a command that shows the run"

    def test_name_and_project(self, full: Delivered) -> None:
        assert full.stored.name == (scenario.NAME if self.keeps_name else None)
        assert full.stored.project == (scenario.PROJECT if self.keeps_project else None)

    def test_notes(self, full: Delivered) -> None:
        assert full.stored.notes == (scenario.NOTES if self.keeps_notes else None)

    def test_status(self, full: Delivered) -> None:
        assert full.stored.status == self.statuses.get("finished", "finished")

    # -- trees -------------------------------------------------------------------------------------

    def test_params(self, full: Delivered) -> None:
        expected: dict[str, Any] = {}
        for tree in (scenario.CONFIG, scenario.PARAMS, scenario.LATER_PARAMS):
            expected.update(flatten(tree))
        expected = {name: self.stored_param(value) for name, value in expected.items()}
        _compare(full.stored.params, expected, "param", "log_params")

    def test_tags(self, full: Delivered) -> None:
        _compare(full.stored.tags, scenario.TAGS | scenario.LATER_TAGS, "tag", "set_tags")

    def test_summary(self, full: Delivered) -> None:
        logged = scenario.SUMMARY | scenario.LATER_SUMMARY
        expected = {name: self.stored_summary(value) for name, value in logged.items()}
        _compare(full.stored.summary, expected, "summary value", "log_summary")

    # -- metrics -----------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", scenario.VALUES)
    def test_metric_value(self, full: Delivered, name: str) -> None:
        self._check_points(full, name)

    @pytest.mark.parametrize("name", [*scenario.STEPS, scenario.SAME_STEP[0], scenario.NO_STEP[0]])
    def test_metric_steps(self, full: Delivered, name: str) -> None:
        self._check_points(full, name)

    def test_metric_epochs(self, full: Delivered) -> None:
        self._check_points(full, scenario.EPOCHS[0])

    def test_many_points(self, full: Delivered) -> None:
        self._check_points(full, scenario.MANY[0])

    @pytest.mark.parametrize("name", scenario.NAMES)
    def test_metric_name(self, full: Delivered, name: str) -> None:
        if name in self.refused_names:
            reasons = [refusal.reason for refusal in full.refused if refusal.key == name]
            assert reasons, f"{name!r} was to be refused by name: is it stored now?"
            assert name not in full.stored.metrics
        else:
            self._check_points(full, name)

    def test_no_metric_of_another_name(self, full: Delivered) -> None:
        logged = {name for record in _metrics(full) for name in record.values}
        surprising = full.stored.metrics.keys() - logged
        assert not surprising, (
            f"names that nobody logged: {sorted(surprising)[:5]}; read() must unescape names, and "
            "leave out what the adapter adds for itself"
        )

    def _check_points(self, full: Delivered, name: str) -> None:
        expected = self.stored_points(self._logged_points(full, name))
        stored = full.stored.metrics.get(name, [])
        assert len(stored) == len(expected), (
            f"{name!r}: {len(stored)} points are stored, {len(expected)} expected; first stored: "
            f"{stored[:3]}"
        )
        for got, wanted in zip(stored, expected, strict=True):
            problem = self._difference(got, wanted)
            assert not problem, f"{name!r}: {problem}: stored {got}, expected {wanted}"

    def _logged_points(self, full: Delivered, name: str) -> list[Point]:
        return [
            Point(
                record.step,
                self.stored_number(record.values[name]),
                record.time if self.time_resolution is not None else None,
                record.epoch if self.keeps_epoch else None,
            )
            for record in _metrics(full)
            if name in record.values
        ]

    def _difference(self, got: Point, wanted: Point) -> str:
        if got.step != wanted.step:
            return "another step"
        if not _equal(got.value, wanted.value):
            return "another value"
        if got.epoch != wanted.epoch:
            return "another epoch"
        if wanted.time is None or self.time_resolution is None:
            return "" if got.time is None else "a time, though time_resolution is None"
        is_near = got.time is not None and abs(got.time - wanted.time) <= self.time_resolution
        return "" if is_near else "another time"

    # -- media -------------------------------------------------------------------------------------

    def test_text(self, full: Delivered) -> None:
        for key, text in scenario.TEXTS.items():
            self._check_items(full, "text", key, [Item(1, text), Item(2, text + " again")])

    @pytest.mark.parametrize(
        ("key", "items"),
        [
            ("image/png", [Item(1, samples.png("red")), Item(2, samples.png("green"))]),
            ("image/jpeg", [Item(1, samples.jpeg())]),
            ("image/gif", [Item(1, samples.gif())]),
        ],
    )
    def test_image(self, full: Delivered, key: str, items: list[Item]) -> None:
        self._check_items(full, "image", key, items)

    def test_figure(self, full: Delivered) -> None:
        drawn = [Item(3, samples.png("orange"))]
        self._check_items(full, "figure", "figure/drawn", drawn)

    def test_interactive_figure(self, full: Delivered) -> None:
        page = [Item(3, samples.PlotlyLike().to_html().encode())]
        self._check_items(full, "figure", "figure/page", page)

    def test_histogram(self, full: Delivered) -> None:
        counts, edges = scenario.HISTOGRAM
        self._check_items(full, "histogram", "histogram/given", [Item(2, (edges, counts))])

    def test_table(self, full: Delivered) -> None:
        columns, rows = scenario.TABLE
        self._check_items(full, "table", "table/mixed", [Item(4, (columns, rows))])

    def test_audio(self, full: Delivered) -> None:
        self._check_items(full, "audio", "audio/tone", [Item(1, samples.wav())])

    def test_video(self, full: Delivered) -> None:
        self._check_items(full, "video", "video/gif", [Item(5, samples.gif())])

    def test_one_name_for_several_kinds(self, full: Delivered) -> None:
        assert [p.value for p in full.stored.metrics.get(scenario.BOTH, [])] == [0.5]
        self._check_items(full, "text", scenario.BOTH, [Item(1, "words")])
        self._check_items(full, "image", scenario.BOTH, [Item(1, samples.png("purple"))])
        self._check_items(full, "figure", scenario.BOTH, [Item(1, samples.png("orange"))])

    def _check_items(self, full: Delivered, kind: str, key: str, items: list[Item]) -> None:
        stored = full.stored.media.get(kind, {}).get(key, [])
        if f"log_{kind}" in self.gaps or key in self.refused_keys:
            assert not stored, f"{kind} {key!r} is stored: take it out of the declared gaps"
            assert any(r.record == kind and r.key == key and r.reason for r in full.refused)
            return
        if not self.keeps_media_step:
            items = [item._replace(step=None) for item in items]
        expected = self.stored_items(kind, items)
        assert [item.step for item in stored] == [item.step for item in expected], (
            f"{kind} {key!r}: stored {stored!r:.200}, expected {expected!r:.200}"
        )
        for got, wanted in zip(stored, expected, strict=True):
            assert _equal(got.content, wanted.content), (
                f"{kind} {key!r}: stored {got!r:.200}, expected {wanted!r:.200}"
            )

    # -- artifacts ---------------------------------------------------------------------------------

    def test_file_artifact(self, full: Delivered) -> None:
        self._check_artifact(full, "weights", {scenario.FILE_NAME: scenario.FILE})

    def test_folder_artifact(self, full: Delivered) -> None:
        self._check_artifact(full, "checkpoint-7", scenario.FOLDER)

    def test_artifact_logged_twice_shows_the_latest(self, full: Delivered) -> None:
        latest = scenario.VERSIONS[-1].encode()
        self._check_artifact(full, "versioned", {"version.txt": latest})

    def _check_artifact(self, full: Delivered, name: str, files: dict[str, bytes]) -> None:
        stored = full.stored.artifacts.get(name, {})
        if "log_artifact" in self.gaps:
            assert not stored, "an artifact is stored: take log_artifact out of the gaps"
            return
        _compare(stored, files, "file", "log_artifact")

    # -- outcomes, repeats, resumption -----------------------------------------------------------

    @pytest.mark.parametrize("status", ["failed", "interrupted", "killed"])
    def test_outcome(self, tmp_path: Path, status: EndStatus) -> None:
        run = Tape(tmp_path / "multitrack", name="outcome")
        run.log({"loss": 0.5}, step=1)
        if status == "killed":
            run.stop()
        else:
            run.finish(status)
        delivered = self.deliver(run.folder, self.environ(tmp_path))
        assert delivered.stored.status == self.statuses.get(status, status)

    def test_repeated_batch(self, tmp_path: Path) -> None:
        run = Tape(tmp_path / "multitrack", name="repeat")
        for step in range(20):
            run.log({"loss": step / 4}, step=step)
        run.stop()
        environ = self.environ(tmp_path)
        self.deliver(run.folder, environ)
        self._rewind(run.folder, records=10)
        delivered = self.deliver(run.folder, environ)
        steps = [point.step for point in delivered.stored.metrics["loss"]]
        again = range(10, 20) if self.tracker_type.repeat is Repeat.DUPLICATES else ()
        assert sorted(steps) == sorted([*range(20), *again]), (
            f"the adapter declares {self.tracker_type.repeat}; stored steps: {steps}"
        )

    def test_resumed_run_is_the_same_run(self, tmp_path: Path) -> None:
        environ = self.environ(tmp_path)
        run = Tape(tmp_path / "multitrack", name="resumed", config={"seed": 1})
        run.log({"loss": 1.0}, step=1)
        run.finish("failed", error="out of memory")
        first = self.deliver(run.folder, environ)
        run = Tape(tmp_path / "multitrack", run_id=run.folder.run_id)
        run.log({"loss": 0.5}, step=2)
        run.log_params({"more": 2})
        run.finish("finished")
        second = self.deliver(run.folder, environ)
        assert first.state.attachment and second.state.attachment
        assert second.state.attachment.id == first.state.attachment.id, "a second run was made"
        assert [(p.step, p.value) for p in second.stored.metrics["loss"]] == [(1, 1.0), (2, 0.5)]
        assert second.stored.params == {"seed": self.stored_param(1), "more": self.stored_param(2)}
        assert second.stored.status == self.statuses.get("finished", "finished")

    def _rewind(self, folder: Any, records: int) -> None:
        courier = folder.courier(self.tracker)
        state = courier.read_state()
        reader = JournalReader(folder.journal)
        state.offset = reader.read(100_000)[-records].start
        reader.close()
        courier.write_state(state)


def _metrics(delivered: Delivered) -> list[Metrics]:
    reader = JournalReader(delivered.folder.journal)
    entries = reader.read(100_000)
    while more := reader.read(100_000):
        entries += more
    reader.close()
    return [e.record for e in entries if isinstance(e, Entry) and isinstance(e.record, Metrics)]


def _compare(stored: dict[str, Any], expected: dict[str, Any], what: str, method: str) -> None:
    missing = sorted(expected.keys() - stored.keys())
    assert not missing, f"{what}s missing: {missing[:5]} (of {len(missing)}): see {method}()"
    surprising = sorted(stored.keys() - expected.keys())
    assert not surprising, f"{what}s that nobody logged: {surprising[:5]}: see {method}(), read()"
    for name, value in expected.items():
        assert _equal(stored[name], value), (
            f"{what} {name!r}: stored {stored[name]!r:.200}, expected {value!r:.200}"
        )


def _equal(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and math.isnan(wanted):
        return isinstance(got, float) and math.isnan(got)
    if isinstance(wanted, list | tuple) and isinstance(got, list | tuple):
        return len(got) == len(wanted) and all(map(_equal, got, wanted))
    return bool(got == wanted)
