"""CodeCarbon: measures what a training consumes and emits, for all other trackers of the run."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from multitrack.trackers.backends._undisturbed import undisturbed
from multitrack.trackers.beneath import see_that_all_stays
from multitrack.trackers.folder import RunFolder, replace_file
from multitrack.trackers.protocol import (
    Attachment,
    Emit,
    Gap,
    Parked,
    Placement,
    Repeat,
    RunInfo,
    Tracker,
    TrackerError,
    classify_by_default,
    unsupported,
)
from multitrack.trackers.records import EndStatus, Metrics, Scalar, Summary
from multitrack.trackers.settings import Env, Settings

if TYPE_CHECKING:
    from codecarbon import OfflineEmissionsTracker

logger = logging.getLogger("multitrack")

_MEASURES_ONLY = unsupported(Gap.NEVER, "it measures only")
_TOTALS = {
    "duration_s": "duration",
    "cpu_energy_kwh": "cpu_energy",
    "gpu_energy_kwh": "gpu_energy",
    "ram_energy_kwh": "ram_energy",
    "energy_kwh": "energy_consumed",
    "emissions_kg": "emissions",
}
"""What adds up over the sessions of a run, and the client's field for it."""
_ENERGY = {name: field for name, field in _TOTALS.items() if field != "emissions"}
_POWERS = {f"{part}_power_w": f"{part}_power" for part in ("cpu", "gpu", "ram")}
_PLACES = ("country_iso_code", "cloud_provider", "force_carbon_intensity_g_co2e_kwh")
"""Options of the client, one of which says how much carbon a kilowatt-hour costs."""


class CodeCarbonSettings(Settings, frozen=True):
    """What multitrack sets; the client reads its other variables and its files itself."""

    country_iso_code: Annotated[
        str | None,
        Env(
            "CODECARBON_COUNTRY_ISO_CODE",
            client=True,
            help="Country whose electricity is used, three letters: `FRA`. Without it, energy "
            "alone is reported.",
        ),
    ] = None
    measure_power_secs: Annotated[
        float | None,
        Env("CODECARBON_MEASURE_POWER_SECS", client=True, help="Seconds between measurements."),
    ] = None
    output_dir: Annotated[
        Path | None,
        Env(
            "CODECARBON_OUTPUT_DIR",
            place="folder",
            client=True,
            help="Folder of `emissions.csv`. Without it: `couriers/codecarbon` in the run's.",
        ),
    ] = None


class CodeCarbonTracker(Tracker):
    """Measure one run with ``OfflineEmissionsTracker``.

    Args:
        settings: where, and how often.
    """

    name: ClassVar[str] = "codecarbon"
    distributions: ClassVar[tuple[str, ...]] = ("codecarbon",)
    settings_type: ClassVar[type[Settings]] = CodeCarbonSettings
    repeat: ClassVar[Repeat] = Repeat.NOTHING
    placement: ClassVar[Placement] = "source"

    log_params = set_tags = log_metrics = log_summary = _MEASURES_ONLY
    log_text = log_image = log_figure = log_histogram = _MEASURES_ONLY
    log_table = log_audio = log_video = log_artifact = _MEASURES_ONLY

    def __init__(self, settings: CodeCarbonSettings) -> None:
        self._settings = settings
        self._client: OfflineEmissionsTracker | None = None

    def start(self, run: RunInfo) -> Attachment:
        """Measure from now on, if there is something to measure."""
        self._folder = RunFolder(run.folder).courier(self.name).path
        if run.emit is None:
            return run.attachment or Attachment(id=run.run_id)
        see_that_all_stays(self._folder)
        with undisturbed():
            output = self._start_client(run, run.emit)
        return Attachment(id=run.run_id, url=output.as_uri())

    def flush(self) -> bool:
        """Return True: what is measured is in the journal already."""
        return True

    def finish(self, status: EndStatus) -> None:
        """Nothing is left to do: measuring ended before the outcome."""
        self.abandon()

    def abandon(self) -> None:
        """Stop measuring; the client hands out its last figures meanwhile."""
        if self._client:
            self._client.stop()
            self._client = None

    def classify(self, error: Exception) -> TrackerError:
        """Tell what a person must see to from what may pass."""
        if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
            return Parked(str(error), "Set CODECARBON_OUTPUT_DIR to a folder of your own.")
        return classify_by_default(error)

    def _options(self, run: RunInfo, own: Collection[str]) -> dict[str, Any]:
        """Return our settings, and what else differs from the client's defaults.

        Args:
            run: the run.
            own: names of the options that the client takes from its variables and files.
        """
        ours = {
            "project_name": "codecarbon",
            "output_dir": str(self._folder),
            "log_level": "critical",
            "api_call_interval": 1,  # how often it hands out figures, not only to its service
            "allow_multiple_runs": True,
        }
        given = {
            "project_name": run.header.project,
            "country_iso_code": self._settings.country_iso_code,
            "measure_power_secs": self._settings.measure_power_secs,
            "output_dir": self._settings.output_dir and str(self._settings.output_dir),
        }
        return {name: value for name, value in ours.items() if name not in own} | {
            name: value for name, value in given.items() if value is not None
        }

    def _start_client(self, run: RunInfo, emit: Emit) -> Path:
        """Measure from now on; return the folder of the client's file."""
        from codecarbon import OfflineEmissionsTracker
        from codecarbon.core.config import get_hierarchical_config
        from codecarbon.external.logger import set_logger_level

        set_logger_level("critical")  # it speaks as soon as it reads its own settings
        own = get_hierarchical_config()
        options = self._options(run, own)
        output = Path({**own, **options}["output_dir"]).absolute()
        output.mkdir(parents=True, exist_ok=True)  # without it, it measures nothing
        has_price = _check_place({**own, **options})
        meter = _meter(emit, self._folder / "totals.json", has_price=has_price)
        self._client = OfflineEmissionsTracker(output_handlers=[meter], **options)
        self._client.start()
        if getattr(self._client, "_start_time", None) is None:  # it swallows what went wrong
            raise Parked(
                "CodeCarbon did not start",
                "See why with CODECARBON_LOG_LEVEL=debug; CODECARBON_ALLOW_MULTIPLE_RUNS=false "
                "lets one process at a time measure.",
            )
        return output


def _check_place(options: dict[str, Any]) -> bool:
    """Tell whether emissions can be told from energy.

    Raises:
        Parked: the country is none that the client knows; it would take some other figure.
    """
    from codecarbon.input import DataSource

    country = options.get("country_iso_code")
    if country and country not in DataSource().get_global_energy_mix_data():
        raise Parked(
            f"CODECARBON_COUNTRY_ISO_CODE holds {country!r}; allowed: a country's three letters",
            "Set it, as in: export CODECARBON_COUNTRY_ISO_CODE=FRA",
        )
    if has_price := any(options.get(name) for name in _PLACES):
        return has_price
    logger.warning(
        "codecarbon measures energy only: for emissions, name the country whose electricity is "
        "used, as in CODECARBON_COUNTRY_ISO_CODE=FRA"
    )
    return False


def _meter(emit: Emit, path: Path, *, has_price: bool) -> Any:
    """Return an output of the client that hands its figures to the run.

    Args:
        emit: where to.
        path: file of the totals, from which the run's next session goes on.
        has_price: whether emissions are known.
    """
    from codecarbon.output import BaseOutput

    before: dict[str, float] = msgspec.json.decode(path.read_bytes()) if path.exists() else {}

    class Meter(BaseOutput):  # type: ignore[misc, unused-ignore]
        def live_out(self, total: Any, delta: Any) -> None:
            """Emit what was measured so far: called by the client's own thread."""
            emit(Metrics, {**self._totals(total), **_figures(total, _POWERS)})

        def out(self, total: Any, delta: Any) -> None:
            """Emit the last: called when measuring ends."""
            self.live_out(total, delta)
            words: dict[str, Scalar] = {
                f"codecarbon/{name}": str(value)
                for name in ("country_name", "region", "cpu_model", "gpu_model", "tracking_mode")
                if (value := getattr(total, name, None))
            }
            emit(Summary, {**self._totals(total), **words})

        def _totals(self, total: Any) -> dict[str, float]:
            found = _figures(total, _TOTALS if has_price else _ENERGY)
            sums = {name: value + before.get(name, 0.0) for name, value in found.items()}
            replace_file(path, msgspec.json.encode(sums))
            return sums

    return Meter()


def _figures(total: Any, fields: dict[str, str]) -> dict[str, float]:
    return {f"codecarbon/{name}": float(getattr(total, field)) for name, field in fields.items()}
