"""Texts, pictures, figures, histograms, tables, sounds, videos and artifacts."""

from __future__ import annotations

import pytest

from multitrack.trackers.staging import safe_name
from multitrack.trackers.testing import samples, scenario
from multitrack.trackers.testing.deliver import Delivered
from multitrack.trackers.testing.stored import Item
from multitrack.trackers.testing.suite import Suite, compare, is_same, short

IMAGES = {
    "image/png": [Item(1, samples.png("red"), scenario.CAPTION), Item(2, samples.png("green"))],
    "image/jpeg": [Item(1, samples.jpeg())],
    "image/gif": [Item(1, samples.gif())],
    "image/webp": [Item(1, samples.webp(), scenario.CAPTION)],
}


class MediaCases(Suite):
    """What the methods for one text or file are held to."""

    @pytest.mark.parametrize("key", scenario.TEXTS)
    def test_text(self, full: Delivered, key: str) -> None:
        """Texts keep every character, one a step; empty ones stay, and so do long ones."""
        text = scenario.TEXTS[key]
        self._check_media(full, "text", key, Item(1, text), Item(2, f"{text} again"))

    @pytest.mark.parametrize("key", IMAGES)
    def test_image(self, full: Delivered, key: str) -> None:
        """Pictures keep their bytes and captions."""
        self._check_media(full, "image", key, *IMAGES[key])

    @pytest.mark.parametrize("key", scenario.KEYS)
    def test_key(self, full: Delivered, key: str) -> None:
        """Odd keys are kept apart, or refused by name: never merged, never lost."""
        self._check_media(full, "text", key, Item(1, f"text of {key}"))
        self._check_media(full, "image", key, Item(1, samples.picture_of(key)))

    def test_drawn_figure(self, full: Delivered) -> None:
        """A figure that was drawn keeps its bytes and caption."""
        drawn = Item(3, samples.png("orange"), scenario.CAPTION)
        self._check_media(full, "figure", "figure/drawn", drawn)

    def test_figure_as_page(self, full: Delivered) -> None:
        """An interactive figure keeps its page and caption."""
        page = Item(3, samples.PAGE.encode(), scenario.CAPTION)
        self._check_media(full, "figure", "figure/page", page)

    @pytest.mark.parametrize("key", scenario.HISTOGRAMS)
    def test_histogram(self, full: Delivered, key: str) -> None:
        """Edges and counts are kept, empty bins too."""
        counts, edges = scenario.HISTOGRAMS[key]
        self._check_media(full, "histogram", key, Item(2, (edges, counts)))

    @pytest.mark.parametrize("key", scenario.TABLES)
    def test_table(self, full: Delivered, key: str) -> None:
        """Tables keep their columns and cells, also where there are none."""
        self._check_media(full, "table", key, Item(4, scenario.TABLES[key]))

    def test_audio(self, full: Delivered) -> None:
        """Sounds keep their bytes and captions."""
        self._check_media(full, "audio", "audio/tone", Item(1, samples.wav(), scenario.CAPTION))

    def test_video(self, full: Delivered) -> None:
        """Videos keep their bytes and captions."""
        self._check_media(full, "video", "video/gif", Item(5, samples.gif(), scenario.CAPTION))

    def test_one_name_for_all_kinds(self, full: Delivered) -> None:
        """Things of one name and of different kinds do not hide each other."""
        points = full.stored.metrics.get(scenario.BOTH, [])
        expected = [] if "log_metrics" in self.gaps else [0.5]
        assert [point.value for point in points] == expected, f"metric {scenario.BOTH!r}: {points}"
        counts, edges = scenario.HISTOGRAMS["histogram/given"]
        contents = {
            "text": "words",
            "image": samples.png("purple"),
            "figure": samples.png("orange"),
            "histogram": (edges, counts),
            "table": scenario.TABLES["table/mixed"],
            "audio": samples.wav(),
            "video": samples.gif(),
        }
        for kind, content in contents.items():
            self._check_media(full, kind, scenario.BOTH, Item(1, content))
        self._check_artifact(full, scenario.BOTH, {scenario.BOTH: scenario.FILE})

    def test_file_artifact(self, full: Delivered) -> None:
        """A file is stored as it was."""
        self._check_artifact(full, "weights", {scenario.FILE_NAME: scenario.FILE})

    def test_folder_artifact(self, full: Delivered) -> None:
        """A folder keeps its tree: one file name in several folders, empty and odd names."""
        self._check_artifact(full, "checkpoint-7", scenario.FOLDER)

    def test_artifact_logged_twice(self, full: Delivered) -> None:
        """The later version of an artifact is the one that is found."""
        self._check_artifact(full, "versioned", {"version.txt": scenario.VERSIONS[-1]})

    @pytest.mark.parametrize("name", scenario.ARTIFACTS)
    def test_name_of_artifact(self, full: Delivered, name: str) -> None:
        """Odd names are kept apart, or refused by name: never merged, never lost."""
        self._check_artifact(full, safe_name(name), {"odd.txt": name.encode()})

    def _check_media(self, full: Delivered, kind: str, key: str, *logged: Item) -> None:
        stored = full.stored.media.get(kind, {}).get(key, [])
        if f"log_{kind}" in self.gaps or key in self.refused_keys:
            assert not stored, f"{kind} {key!r} is stored: take it out of the declared gaps"
            return
        items = list(logged)
        if not self.keeps_media_step:
            items = [item._replace(step=None) for item in items]
        if not self.keeps_captions:
            items = [item._replace(caption=None) for item in items]
        expected = self.stored_items(kind, items)
        assert is_same(stored, expected), (
            f"{kind} {key!r}: stored {short(stored)}, expected {short(expected)}; see "
            f"log_{kind}(), or declare stored_items()"
        )

    def _check_artifact(self, full: Delivered, name: str, files: dict[str, bytes]) -> None:
        stored = full.stored.artifacts.get(name, {})
        if "log_artifact" in self.gaps or name in self.refused_keys:
            assert not stored, f"artifact {name!r} is stored: take it out of the declared gaps"
            return
        compare(stored, files, f"files of artifact {name!r}", "log_artifact")
