"""SIGTERM: the cluster wants the machine back, so save and stop at the end of the step."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from accelerate import Accelerator

from multitrack.trainer.callbacks.control import TrainerControl
from multitrack.trainer.loop.votes import Votes


class TrainingInterrupted(SystemExit, KeyboardInterrupt):
    """Training was asked to stop by SIGTERM; a checkpoint has been saved.

    It leaves `Trainer.train` after `on_exception`, as an interruption (`KeyboardInterrupt`). If
    nothing catches it, the program ends quietly (`SystemExit`), with status 143, as a program
    does that SIGTERM ends.
    """

    def __init__(self, step: int) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.step = step

    def __str__(self) -> str:
        return f"training was interrupted by SIGTERM after step {self.step}"


class Sigterm:
    """Notices SIGTERM while training runs.

    It takes the signal only where it has its default action, and only on the main thread; a
    handler of the user's stays. After the first signal the default action is back, so a second
    one ends the process at once. A signal that came too late to stop training is sent again when
    training is over.

    Args:
        accelerator: knows the other processes, which must all stop at the same step.
        timeout: seconds for which to wait for them.
    """

    def __init__(self, accelerator: Accelerator, timeout: float) -> None:
        self._received = False
        self._installed = False
        self._votes = Votes(timeout) if accelerator.num_processes > 1 else None

    def __enter__(self) -> Sigterm:
        on_main_thread = threading.current_thread() is threading.main_thread()
        if on_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._receive)
            self._installed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._installed and signal.getsignal(signal.SIGTERM) == self._receive:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._votes is not None and (error is None or isinstance(error, TrainingInterrupted)):
            self._votes.close()  # after an error, other processes may never vote again
        if self._received and error is None:
            signal.raise_signal(signal.SIGTERM)

    def confer(self, control: TrainerControl) -> None:
        """Tell the other processes whether the signal came, and what callbacks ask for here.

        Raises:
            RuntimeError: they ask for something in some of the processes only.
        """
        if self._votes is not None:
            self._votes.cast(self._received, control)

    def asks_to_stop(self) -> bool:
        """Tell whether to stop after this step; all processes get the same answer."""
        return self._received if self._votes is None else self._votes.is_to_stop

    def _receive(self, _signal: int, _frame: FrameType | None) -> None:
        self._received = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
