"""Whether a staged file is still what was logged."""

from __future__ import annotations

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.protocol import Refused
from multitrack.trackers.records import StagedFile
from multitrack.trackers.staging import check_place, was_overwritten


def see_that_it_is_whole(run: RunFolder, file: StagedFile) -> None:
    """See that a file of a record is there, and what it was when it was logged.

    Raises:
        Refused: it is not, and why.
    """
    try:
        check_place(run, file)
        is_other = was_overwritten(run, file)
    except FileNotFoundError:
        raise Refused(f"{file.name} {_why_gone(run)}") from None
    except ValueError as error:
        raise Refused(str(error)) from None
    if is_other:
        raise Refused(
            f"{file.name} was overwritten in place after it was logged, "
            f"or the run was copied without its files' times"
        )


def _why_gone(run: RunFolder) -> str:
    if run.pruned.exists():
        return "was removed by `multitrack gc`, when every backend of the run had it"
    return "is gone from the run's folder"
