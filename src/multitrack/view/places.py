"""Where a run's staged files are served, and as what."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from multitrack.trackers.folder import RunFolder
from multitrack.trackers.records import StagedFile
from multitrack.trackers.staging import check_place

SHOWN = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
"""What a browser shows and cannot run; anything else is only offered for download."""
OTHER = "application/octet-stream"


def type_of(file: StagedFile) -> str:
    """Return the media type that a file is served as."""
    return SHOWN.get(Path(file.path).suffix.lower(), OTHER)


def url_of(folder: RunFolder, file: StagedFile) -> str | None:
    """Return the address of a staged file; None if it is gone, or none of the run's own."""
    if not is_there(folder, file):
        return None
    return f"/api/runs/{quote(folder.run_id, safe='')}/files/{quote(file.path)}"


def is_there(folder: RunFolder, file: StagedFile) -> bool:
    """Tell whether a record names a file of its own run that can be served."""
    try:
        check_place(folder, file)
    except (ValueError, OSError):
        return False
    return True
