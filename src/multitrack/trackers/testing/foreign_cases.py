"""Folders of runs that somebody else wrote go where the person who delivers says, or nowhere."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from multitrack.trackers.folder import CourierFolder, CourierState, RunFolder
from multitrack.trackers.kept import StoredSettings
from multitrack.trackers.process import DELIVERED, EXIT_CODES, spawn
from multitrack.trackers.protocol import Attachment
from multitrack.trackers.settings import variables
from multitrack.trackers.testing.deliver import LOG_TAIL, TIMEOUT, deliver, environment
from multitrack.trackers.testing.suite import Suite

PRECIOUS = "what somebody keeps"


class ForeignCases(Suite):
    """What a folder says is data: it names no place that is written, removed or sent to."""

    def test_a_foreign_folder_reaches_only_the_store(self, tmp_path: Path) -> None:
        """Ids, paths and addresses that it names are touched by no delivery, nor are other runs."""
        kept = _make_precious(tmp_path)
        folder = self._recorded(tmp_path)
        own = deliver(self, folder, self.environ(tmp_path))
        left = own.state.attachment or Attachment()
        before = _contents(kept)
        with _trap() as (address, calls):
            for word in (str(kept), os.path.relpath(kept, folder.path.parent)):
                names = {"folder": word, "address": address, "files": address}
                self._deliver_foreign(folder, _replaced(left, word, address), names, tmp_path)
            assert not calls, f"the folder named {address}, and a client asked there"
        assert _contents(kept) == before, f"the folder named {kept}, and it was changed"
        self._deliver_foreign(folder, left, {}, tmp_path)
        with environment(self.environ(tmp_path)):
            found = self.read(folder, own.state)
        assert found == own.stored, "the folder named another run's id, and that run was changed"

    def _recorded(self, tmp_path: Path) -> RunFolder:
        """Record a run of ours with an artifact whose name some home has."""
        file = tmp_path / ".bashrc"
        file.write_text("echo owned\n")
        run = self.start(tmp_path, run_id="ours", config={"lr": 0.1})
        run.log({"loss": 0.5}, step=1)
        run.log_artifact(file, name="n", step=1)
        run.finish(quiet=True)
        return run.folder

    def _deliver_foreign(
        self, folder: RunFolder, attachment: Attachment, names: dict[str, str], tmp_path: Path
    ) -> None:
        """Deliver another's copy of a run; a courier may refuse to, but ends, and tells why."""
        foreign = _as_foreign(folder)
        courier = foreign.courier(self.tracker)
        courier.create()
        self._plant(courier, attachment, names)
        with environment(self.environ(tmp_path)):
            code = spawn(foreign, self.tracker).wait(TIMEOUT)
        assert code in EXIT_CODES, f"the courier died: {courier.log.read_text()[-LOG_TAIL:]}"
        told = courier.read_state().message
        assert code == DELIVERED or told, "nothing says why it was not delivered"

    def _plant(self, courier: CourierFolder, attachment: Attachment, names: dict[str, str]) -> None:
        """Write what a courier of somebody else could have left behind."""
        courier.write_state(CourierState(attachment=attachment))
        places = {
            variable.field: names[variable.env.place]
            for variable in variables(self.tracker_type.settings_type)
            if variable.env.place in names
        }
        stored = StoredSettings(arguments=places, seal="0" * 64)
        courier.write_settings(msgspec.to_builtins(stored))


def _make_precious(tmp_path: Path) -> Path:
    """Make a folder of somebody's own, with what an adapter might write or remove."""
    kept = tmp_path / "precious"
    for name in (".bashrc", "n/.bashrc", "n/1/.bashrc", "artifacts/n/1/.bashrc", "wandb/x"):
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_text(PRECIOUS)
    return kept


def _as_foreign(folder: RunFolder) -> RunFolder:
    """Return a copy of a run's folder as somebody else would have written it, not delivered yet."""
    foreign = RunFolder(folder.path.parent / f"foreign-{secrets.token_hex(4)}")
    shutil.copytree(folder.path, foreign.path, ignore=shutil.ignore_patterns("couriers", "*.json"))
    ours, theirs = f'"run_id":"{folder.run_id}"', f'"run_id":"{foreign.run_id}"'
    foreign.journal.write_text(foreign.journal.read_text().replace(ours, theirs, 1))
    return foreign


def _replaced(value: Any, word: str, address: str) -> Any:
    """Return what an adapter keeps of a run with each path, id and address in it replaced."""
    if isinstance(value, Attachment):
        return msgspec.convert(_replaced(msgspec.to_builtins(value), word, address), Attachment)
    if isinstance(value, dict):
        return {name: _replaced(inner, word, address) for name, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, word, address) for inner in value]
    if isinstance(value, str):
        return address if "://" in value else word
    return value


def _contents(place: Path) -> dict[str, tuple[int, bytes | None]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(place.rglob("*"))
    }


@contextmanager
def _trap() -> Iterator[tuple[str, list[object]]]:
    """Listen on the loopback; give the address, and who called."""
    calls: list[object] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def listen() -> None:
            while True:
                try:
                    connection, caller = server.accept()
                except OSError:
                    return
                calls.append(caller)
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
        server.shutdown(socket.SHUT_RDWR)
