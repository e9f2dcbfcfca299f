"""DVCLive: plain files in the working directory, which DVC versions, compares and plots."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

from multitrack.trackers.access import Access
from multitrack.trackers.backends import _dvclive as files
from multitrack.trackers.beneath import (
    beneath,
    copy_file,
    make_folder,
    remove,
    see_that_all_stays,
    write_file,
)
from multitrack.trackers.names import escape, merge, unescape
from multitrack.trackers.protocol import (
    Attachment,
    Parked,
    Refused,
    Repeat,
    Retry,
    RunInfo,
    Tracker,
    TrackerError,
    classify_by_default,
    stored_as,
)
from multitrack.trackers.records import (
    Artifact,
    Audio,
    EndStatus,
    Figure,
    Header,
    Histogram,
    Image,
    Media,
    Metrics,
    Params,
    Scalar,
    Summary,
    Table,
    Tags,
    Text,
    Tree,
    Video,
    spell,
)
from multitrack.trackers.settings import Env, LogModel, Settings, switch
from multitrack.trackers.staging import safe_name

if TYPE_CHECKING:
    from dvclive import Live

SYNC_INTERVAL = 10.0
"""Seconds between two updates of ``dvc.yaml`` and of DVC Studio: they read the whole run."""
PICTURES = {".png", ".jpg", ".jpeg", ".gif"}


class DVCLiveSettings(Settings, frozen=True):
    """Where the files go, and whether they become an experiment."""

    dir: Annotated[
        Path | None,
        Env(
            "DVCLIVE_DIR",
            place="folder",
            help="Folder of the files. Without it: `dvclive` where the run runs.",
        ),
    ] = None
    save_dvc_exp: Annotated[
        bool,
        Env("DVCLIVE_SAVE_DVC_EXP", help="In a DVC repository, save the run as an experiment."),
    ] = True
    exp_name: Annotated[
        str | None,
        Env(
            "DVC_EXP_NAME",
            client=True,
            help="Its name, where the run has none; `run` and its id without it.",
        ),
    ] = None
    log_model: Annotated[
        LogModel,
        Env(
            "HF_DVCLIVE_LOG_MODEL",
            help="Which checkpoints become artifacts; true is the last one.",
            words=switch("last"),
        ),
    ] = "none"

    def access(self) -> Access:
        """Return the folder of the files."""
        return Access(folder=self.dir or Path("dvclive"))


class DVCLiveTracker(Tracker):
    """Write one run with DVCLive's ``Live``.

    Args:
        settings: where to write.
    """

    name: ClassVar[str] = "dvclive"
    distributions: ClassVar[tuple[str, ...]] = ("dvclive",)
    settings_type: ClassVar[type[Settings]] = DVCLiveSettings
    repeat: ClassVar[Repeat] = Repeat.NOTHING

    def __init__(self, settings: DVCLiveSettings) -> None:
        self._settings = settings
        self._written: dict[str, set[tuple[str, str]]] = {}
        self._synced = 0.0

    def start(self, run: RunInfo) -> Attachment:
        """Take a folder that holds no other run, or the run's own."""
        self._run = run
        self._root = None if run.is_foreign else files.dvc_root()
        about = _about(run.header)
        wanted = self._settings.dir or run.default("dvclive")
        if run.attachment:
            self._folder = Path(run.attachment.state["folder"])
        else:
            if run.is_foreign:
                see_that_all_stays(wanted)
            self._folder = files.take_folder(wanted, about)
            if run.is_foreign:
                see_that_all_stays(self._folder)
        is_shared = self._root is not None and self._folder == wanted
        self._dvcyaml = Path(run.directory if is_shared else self._folder, "dvc.yaml")
        self._kept = files.load(self._folder) or files.Kept(run=about)
        self._live = self._open()
        self._save()
        url = "dvc exp show" if self._root else self._folder.as_uri()
        return Attachment(id=str(self._folder), url=url, state={"folder": str(self._folder)})

    @stored_as("`params.yaml`")
    def log_params(self, params: Params) -> None:
        """Merge the tree into the run's params."""
        merge(self._kept.params, params.values)
        self._live.log_params(self._kept.params)

    @stored_as("`multitrack.json`")
    def set_tags(self, tags: Tags) -> None:
        """Keep the tags."""
        self._kept.tags |= tags.values

    @stored_as("`plots/metrics/<name>.tsv`, the latest in `metrics.json`; epoch as metric `epoch`")
    def log_metrics(self, points: Sequence[Metrics]) -> None:
        """Add each value to its metric's file, at its step."""
        for point in points:
            self._live.step = point.step
            if point.epoch is not None:
                self._log("epoch", point.epoch)
            for name, value in point.values.items():
                self._log(name, value)

    @stored_as("`metrics.json`, under `summary`")
    def log_summary(self, summary: Summary) -> None:
        """Merge the values into the run's."""
        values = {k: spell(v) if isinstance(v, float) else v for k, v in summary.values.items()}
        held = self._live.summary.get("summary", {})
        self._live.summary = {**self._live.summary, "summary": {**held, **values}}

    @stored_as("file `media/text/<key>/<step>.txt`")
    def log_text(self, text: Text) -> None:
        """Keep the text."""
        write_file(text.text.encode(), self._folder, self._place(text, "text", ".txt"))

    @stored_as("`plots/images/image/<key>/<step>.<format>`; WebP as file under `media/`")
    def log_image(self, image: Image) -> None:
        """Keep the picture."""
        self._keep_picture(image, "image")

    @stored_as("`plots/images/figure/<key>/<step>.<format>`; an HTML page as file under `media/`")
    def log_figure(self, figure: Figure) -> None:
        """Keep the picture or the page."""
        self._keep_picture(figure, "figure")

    @stored_as("file `media/histogram/<key>/<step>.json`")
    def log_histogram(self, histogram: Histogram) -> None:
        """Keep edges and counts."""
        bins = msgspec.json.encode({"edges": histogram.edges, "counts": histogram.counts})
        write_file(bins, self._folder, self._place(histogram, "histogram", ".json"))

    @stored_as("file `media/table/<key>/<step>.json`")
    def log_table(self, table: Table) -> None:
        """Keep columns and rows."""
        self._keep(table, "table")

    @stored_as("file `media/audio/<key>/<step>.<format>`")
    def log_audio(self, audio: Audio) -> None:
        """Keep the sound."""
        self._keep(audio, "audio")

    @stored_as("file `media/video/<key>/<step>.<format>`")
    def log_video(self, video: Video) -> None:
        """Keep the video."""
        self._keep(video, "video")

    @stored_as("`artifacts/<name>/<step>/`, added to DVC in a DVC repository")
    def log_artifact(self, artifact: Artifact) -> None:
        """Copy the files, and let DVC track them."""
        place = Path("artifacts", self._nested(artifact.name), str(artifact.step))
        remove(self._folder, place)
        target = make_folder(self._folder, place)
        for file in artifact.files:
            copy_file(self._run.path(file), self._folder, place / safe_name(file.name))
        self._kept.artifacts[place.as_posix()] = artifact.about
        if self._root:
            self._live.log_artifact(
                str(target),
                type=artifact.kind,
                name=escape(artifact.name, lambda c: c.isascii() and (c.isalnum() or c == "-")),
                labels=artifact.aliases or None,
                meta=artifact.metadata or None,
            )

    def flush(self) -> bool:
        """Write what changed as a whole; the rest stands in its files already."""
        self._save()
        if time.monotonic() - self._synced > SYNC_INTERVAL:
            self._live.sync()
            self._synced = time.monotonic()
        else:
            self._live.make_summary()
        return True

    def finish(self, status: EndStatus) -> None:
        """Note the outcome, and save the experiment."""
        self._kept.status = status
        self._save()
        self._live.end()
        if self._root and self._settings.save_dvc_exp:
            name = escape(self._named(), lambda c: c.isascii() and (c.isalnum() or c in "-_."))
            paths = [self._folder, self._dvcyaml]
            if files.save_experiment(self._root, name, paths, self._run.header.notes):
                self._kept.is_saved = True
                self._save()

    def abandon(self) -> None:
        """Nothing: no file is open."""

    def native(self) -> Live:
        """Return DVCLive's ``Live``.

        It has one step for all, and no lock: log by hand with ``delivery="inline"`` only, on the
        thread of the training, and set ``live.step`` before. Never call ``end()`` or
        ``next_step()``. Keep to names of your own.
        """
        return self._live

    def classify(self, error: Exception) -> TrackerError:
        """Tell what a person must see to from what another DVC command holds up."""
        if isinstance(error, PermissionError):
            return Parked(str(error), "Set DVCLIVE_DIR to a folder that you may write to.")
        if isinstance(error, NotADirectoryError | IsADirectoryError | FileExistsError):
            return Refused(str(error))
        if type(error).__name__ == "LockError":
            return Retry(str(error))
        return classify_by_default(error)

    # -- within ----------------------------------------------------------------------------

    def _named(self) -> str:
        """Return the experiment's name; the id keeps two runs of one name apart."""
        header = self._run.header
        own = header.name and f"{header.name}-{header.run_id}"
        return self._settings.prefer("exp_name", own) or f"run-{header.run_id}"

    def _open(self) -> Live:
        """Open the folder with its files made anew from what is kept: they may be torn."""
        for name in ("metrics.json", "params.yaml"):
            (self._folder / name).unlink(missing_ok=True)
        live = files.open_live(
            has_dvc=self._root is not None,
            dir=str(self._folder),
            dvcyaml=str(self._dvcyaml),
            resume=bool(self._kept.metrics or self._kept.params),
            exp_name=self._named(),
        )
        live.summary = dict(self._kept.metrics)
        if self._kept.params:
            live.log_params(self._kept.params)
        return live

    def _save(self) -> None:
        self._kept.metrics = self._live.summary
        files.save(self._folder, self._kept)

    def _log(self, name: str, value: Scalar) -> None:
        path = self._noted(files.metric_path(name), name)
        shown = self._live.summary
        is_shown = files.is_shown(shown, path.split("/"))
        if not is_shown:
            self._live.summary = {}
        self._live.log_metric(path, value, plot=not self._is_written(path, value))
        if not is_shown:
            self._live.summary = shown

    def _nested(self, name: str) -> str:
        return self._noted(files.nested(name), name)

    def _noted(self, path: str, name: str) -> str:
        """Return a path, after keeping the name that it does not spell."""
        if unescape(path) != name:
            self._kept.names[path] = name
        return path

    def _is_written(self, path: str, value: Scalar) -> bool:
        """Tell whether an earlier courier wrote the row; after the first new one, none is."""
        if path not in self._written:
            self._written[path] = files.rows(self._folder / "plots" / "metrics" / f"{path}.tsv")
        if (str(self._live.step), str(value)) in self._written[path]:
            return True
        self._written[path] = set()
        return False

    def _place(self, record: Media | Table | Text | Histogram, kind: str, suffix: str) -> Path:
        return Path("media", kind, self._nested(record.key), f"{record.step}{suffix}")

    def _keep(self, record: Media | Table, kind: str) -> None:
        source = self._run.path(record.file)
        place = self._place(record, kind, source.suffix)
        copy_file(source, self._folder, place)
        self._keep_caption(record, place)

    def _keep_picture(self, record: Image | Figure, kind: str) -> None:
        """Give a picture to DVCLive, then put its bytes in place: DVCLive encodes it anew."""
        source = self._run.path(record.file)
        if source.suffix not in PICTURES:
            self._keep(record, kind)
            return
        name = f"{kind}/{self._nested(record.key)}/{record.step}{source.suffix}"
        place = Path("plots", "images", name)
        beneath(self._folder, place)
        self._live.step = record.step
        self._live.log_image(name, str(source))
        copy_file(source, self._folder, place)
        self._keep_caption(record, place)

    def _keep_caption(self, record: Media | Table, place: Path) -> None:
        if caption := getattr(record, "caption", None):
            self._kept.captions[place.as_posix()] = caption


def _about(header: Header) -> Tree:
    """Return what a header says that has no place of its own."""
    about: Tree = msgspec.to_builtins(header)
    return {key: about[key] for key in about if key not in {"type", "config", "tags"}}
