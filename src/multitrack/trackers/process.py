"""The courier as a process of its own: ``python -m multitrack.trackers.process RUN BACKEND``.

It never sees a terminal: standard input is ``/dev/null``, output goes to the courier's log, and
it leads a session of its own, so that Ctrl-C in the trainer's terminal does not reach it. It
learns of the trainer's end through a pipe whose other end the operating system closes when the
trainer dies, however it dies.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from multitrack.trackers import key, registry
from multitrack.trackers.courier import LINGER, SILENCE, Courier, read_header
from multitrack.trackers.folder import FILE_MODE, NO_LINK, CourierFolder, RunFolder
from multitrack.trackers.kept import kept_settings
from multitrack.trackers.locks import PATIENCE, FileLock, LockedError, is_locked
from multitrack.trackers.origin import directory_of, read_origin
from multitrack.trackers.priority import put_helpers_last, put_last, stay_last
from multitrack.trackers.protocol import Parked
from multitrack.trackers.redact import RedactedStream
from multitrack.trackers.settings import Settings, holds_secret, variables

logger = logging.getLogger(__name__)

DELIVERED, LEFT, BUSY = 0, 3, 4
"""Exit codes: all is delivered; something is left; another courier is at work."""
EXIT_CODES = {DELIVERED, LEFT, BUSY}
SYNC_LINGER = 60.0
"""Seconds for which ``multitrack sync`` tries a backend that does not answer."""
WATCH_INTERVAL = 1.0
PROGRAM = (
    "import sys; sys.path = [path for path in sys.path if path]; "
    "from multitrack.trackers.process import main; sys.exit(main())"
)
"""What ``python -m`` would do, but for Python 3.10 to import from the working directory first."""
HANG_CHECK = 1.0
"""Seconds between two looks at whether the client hangs, or talks too much."""
LOG = 1
"""The courier's standard output: `spawn` leads it into the log, at whose end all is appended."""
MOST_LOG = 16 * 2**20
"""Bytes of the log from which on it begins again."""


def spawn(
    run: RunFolder,
    backend: str,
    *,
    pipe: int | None = None,
    watch: bool = False,
    secrets: Mapping[str, str] | None = None,
    accepted: Iterable[str] = (),
) -> subprocess.Popen[bytes]:
    """Start a courier process.

    Args:
        run: the run's folder.
        backend: name of the backend.
        pipe: descriptor whose end of file says that the trainer is gone. None: deliver what is
            there, and the outcome too if no process writes to the run.
        watch: without a pipe, go on as long as a process writes to the run.
        secrets: environment variables given as arguments, which are stored nowhere.
        accepted: places that the folder of somebody else names and the user has agreed to.
    """
    folder = run.courier(backend)
    folder.create()
    command = [_interpreter(backend), "-c", PROGRAM, str(run.path), backend]
    command += ["--pipe", str(pipe)] if pipe is not None else []
    command += ["--watch"] if watch else []
    command += [f"--accept={place}" for place in accepted]
    log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK, FILE_MODE)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[] if pipe is None else [pipe],
            start_new_session=True,
            cwd=_own_directory(run),
            env={**os.environ, **(secrets or {}), **key.to_hand_on(), "PYTHONSAFEPATH": "1"},
        )
    finally:
        os.close(log)
    put_last(process.pid)
    return process


def secret_variables(settings: Settings, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the secrets among the arguments, as environment variables of a courier."""
    return {
        variable.env.name: str(value)
        for variable in variables(type(settings))
        if variable.field in arguments
        and holds_secret(variable, value := getattr(settings, variable.field))
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Deliver one run to one backend; return the exit code."""
    options = _parse(arguments)
    run = RunFolder(options.run)
    _keep_secrets_out_of_the_log()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    stay_last()
    folder = run.courier(options.backend)
    folder.create()
    patience = PATIENCE if options.pipe is None else LINGER
    try:
        with FileLock(folder.lock, timeout=patience):
            return _deliver(run, options)
    except LockedError:
        return BUSY


def _keep_secrets_out_of_the_log() -> None:
    """Redact what the client prints, too: its errors may hold an address with its password."""
    sys.stdout, sys.stderr = RedactedStream(sys.stdout), RedactedStream(sys.stderr)


def _deliver(run: RunFolder, options: argparse.Namespace) -> int:
    linger = LINGER if options.pipe is not None else SYNC_LINGER
    run_id = read_header(run).run_id
    directory = directory_of(run, run_id)
    try:
        settings = kept_settings(run, run_id, options.backend, options.accept or ())
    except Parked as answer:
        _note_parked(run.courier(options.backend), answer)
        return LEFT
    with _apart_from(run):
        return _work(
            Courier(run, options.backend, settings, linger=linger, directory=directory), options
        )


def _note_parked(folder: CourierFolder, answer: Parked) -> None:
    """Write down what a person must do before there can be a courier."""
    state = folder.read_state()
    state.phase, state.message, state.remedy = "parked", answer.reason, answer.remedy
    folder.write_state(state)


def _work(courier: Courier, options: argparse.Namespace) -> int:
    run = courier.run_folder
    gone = threading.Event()
    if options.pipe is not None:
        _start_thread(_await_end_of_file, options.pipe, gone)
    elif not is_locked(run.writer_lock):
        gone.set()
    elif options.watch:
        _start_thread(_await_writer, run, gone)
    else:
        courier.once = True
    _start_thread(_look_after, courier)
    _take_signals(courier, has_trainer=options.pipe is not None)
    courier.run(gone)
    return DELIVERED if courier.state.phase == "done" else LEFT


def _take_signals(courier: Courier, *, has_trainer: bool) -> None:
    """Stop after a batch when told to; with a trainer, after its end, without further tries.

    A scheduler that ends a job sends SIGTERM to trainer and courier alike: the backend shall
    still be told how the run ended.
    """

    def end(*_: object) -> None:
        if has_trainer:
            courier.linger = 0.0
        else:
            courier.stop = True

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)


def _await_end_of_file(pipe: int, gone: threading.Event) -> None:
    os.read(pipe, 1)
    gone.set()


def _await_writer(run: RunFolder, gone: threading.Event) -> None:
    while is_locked(run.writer_lock):
        time.sleep(WATCH_INTERVAL)
    gone.set()


def _look_after(courier: Courier) -> None:
    """See to what a client does, and end the process, as if it had crashed, when it hangs."""
    while time.monotonic() < courier.due:
        time.sleep(HANG_CHECK)
        _bound_log()
        put_helpers_last()
    courier.state.message = f"the client did not answer within {SILENCE:g} seconds"
    courier.folder.write_state(courier.state)
    os._exit(LEFT)


def _bound_log() -> None:
    """Begin the log again where a client has filled it: it shall not fill the disk."""
    with contextlib.suppress(OSError):
        if os.fstat(LOG).st_size > MOST_LOG:
            os.ftruncate(LOG, 0)
            logger.warning("the log had grown to %d bytes, and was begun again", MOST_LOG)


def _start_thread(target: Any, *arguments: Any) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()


def _interpreter(backend: str) -> str:
    return os.environ.get(registry.python_variable(backend)) or sys.executable


def _own_directory(run: RunFolder) -> Path | None:
    """Return where a run of this user's ran, so that relative paths of a client mean the same."""
    run_id = read_header(run).run_id
    return directory_of(run, run_id) if read_origin(run, run_id) else None


@contextlib.contextmanager
def _apart_from(run: RunFolder) -> Iterator[None]:
    """Work in an empty folder if the run is somebody else's.

    Clients read files of where they are: what came along with such a run shall not be found.
    """
    if _own_directory(run):
        yield
        return
    before = Path.cwd()
    with TemporaryDirectory(prefix="multitrack-", ignore_cleanup_errors=True) as empty:
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(before)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deliver one run to one backend.")
    parser.add_argument("run", help="the run's folder")
    parser.add_argument("backend")
    parser.add_argument("--pipe", type=int, help="its end of file: the trainer is gone")
    parser.add_argument("--watch", action="store_true", help="go on while the run does")
    parser.add_argument("--accept", action="append", help="a place that the user agreed to")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
