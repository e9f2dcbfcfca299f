"""The calls that scripts make of torch's SummaryWriter, recorded for every tracker."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multitrack.compat._refusing import refusing
from multitrack.trackers.run import Run
from multitrack.trackers.texts import attempt, text_of

NOT_COVERED = (
    *("add_graph", "add_onnx_graph", "add_embedding", "add_pr_curve", "add_pr_curve_raw"),
    *("add_mesh", "add_tensor", "add_custom_scalars", "add_custom_scalars_multilinechart"),
    *("add_custom_scalars_marginchart", "add_image_with_boxes", "add_histogram_raw"),
)
"""What no kind of record stands for."""


class WriterCalls:
    """A run that answers a SummaryWriter's calls, too: everything else is the run's own.

    What it logs reaches every tracker of the run. A call that no kind of record stands for, such
    as ``add_embedding``, is refused by name, once, and training goes on. ``flush`` and ``close``
    do nothing: what was logged is kept already, and the run ends with its host.

    Args:
        run: the run.
        log_dir: what it calls its folder.
    """

    def __init__(self, run: Run, log_dir: str) -> None:
        self.run = run
        self.log_dir = log_dir

    def __getattr__(self, name: str) -> Any:
        """Return what the run has; of a call that is not covered, one that says so."""
        if name == "run":
            raise AttributeError(name)  # while it is copied
        if name in NOT_COVERED:
            return functools.partial(self._refuse, name)
        return getattr(self.run, name)

    def get_logdir(self) -> str:
        """Return the folder."""
        return self.log_dir

    # -- scalars ---------------------------------------------------------------------------

    @refusing
    def add_scalar(
        self, tag: str, scalar_value: Any, global_step: Any = None, *_: Any, **__: Any
    ) -> None:
        """Log a number."""
        self.run.log({tag: scalar_value}, global_step)

    @refusing
    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: Any = None,
        *_: Any,
        **__: Any,
    ) -> None:
        """Log several numbers, as ``<main_tag>/<tag>``."""
        row = {f"{main_tag}/{tag}": value for tag, value in tag_scalar_dict.items()}
        self.run.log(row, global_step)

    @refusing
    def add_hparams(
        self, hparam_dict: Any, metric_dict: Mapping[str, Any], *_: Any, **__: Any
    ) -> None:
        """Record hyper-parameters, and single values of the run that go with them."""
        self.run.log_params(hparam_dict)
        if metric_dict:
            self.run.summary(metric_dict)

    @refusing
    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: Any = None,
        *_: Any,
        **__: Any,
    ) -> None:
        """Log the distribution of numbers; only a number of ``bins`` counts."""
        counted = {"bins": bins} if isinstance(bins, int) else {}
        self.run.log_histogram(tag, values, global_step, **counted)

    # -- media -----------------------------------------------------------------------------

    @refusing
    def add_text(
        self, tag: str, text_string: Any, global_step: Any = None, *_: Any, **__: Any
    ) -> None:
        """Log a text."""
        self.run.log_text(tag, text_string, global_step)

    @refusing
    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: Any = None,
        dataformats: str = "CHW",
        **_: Any,
    ) -> None:
        """Log a picture, whose axes are as ``dataformats`` says."""
        self.run.log_image(tag, _arranged(img_tensor, dataformats, "HWC"), global_step)

    @refusing
    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: Any = None,
        dataformats: str = "NCHW",
        **_: Any,
    ) -> None:
        """Log a batch of pictures, as ``<tag>/0``, …."""
        batch = _arranged(img_tensor, dataformats, "NHWC")
        for number, image in enumerate(batch):
            self.run.log_image(f"{tag}/{number}", image, global_step)

    @refusing
    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: Any = None,
        close: bool = True,
        *_: Any,
        **__: Any,
    ) -> None:
        """Log a figure, or several, and close what matplotlib holds of them."""
        several = figure if isinstance(figure, list) else [figure]
        for number, one in enumerate(several):
            name = f"{tag}/{number}" if len(several) > 1 else tag
            self.run.log_figure(name, one, global_step)
            if close and (pyplot := sys.modules.get("matplotlib.pyplot")):
                attempt(pyplot.close, one)

    @refusing
    def add_video(
        self,
        tag: str,
        vid_tensor: Any,
        global_step: Any = None,
        fps: float = 4,
        *_: Any,
        **__: Any,
    ) -> None:
        """Log a batch of videos, of shape (N, T, C, H, W); one alone is called ``tag``."""
        videos = list(_array(vid_tensor))
        for number, frames in enumerate(videos):
            name = f"{tag}/{number}" if len(videos) > 1 else tag
            self.run.log_video(name, frames, fps, global_step)

    @refusing
    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: Any = None,
        sample_rate: int = 44_100,
        *_: Any,
        **__: Any,
    ) -> None:
        """Log a sound."""
        self.run.log_audio(tag, _array(snd_tensor).squeeze(), sample_rate, global_step)

    # -- what a file would need ------------------------------------------------------------

    def flush(self) -> None:
        """Do nothing: what was logged is kept already."""

    def close(self) -> None:
        """Do nothing: the run ends with its host."""

    def _refuse(self, method: str, *_: Any, **__: Any) -> None:
        self.run.refuse(method, "no tracker of multitrack takes this; the rest is logged")


def _arranged(image: Any, given: str, wanted: str) -> Any:
    """Return an array with its axes in another order, one of channels added where there is none.

    Raises:
        ValueError: the axes are not those of a picture, or not as many as the array has.
    """
    if isinstance(image, str | bytes | Path) or hasattr(image, "save"):
        return image
    axes, array = text_of(given).upper(), _array(image)
    if len(axes) != array.ndim or not {"H", "W"} <= set(axes) <= set(wanted):
        raise ValueError(f"dataformats is {axes}, and the array has the shape {array.shape}")
    there = [axis for axis in wanted if axis in axes]
    return array.transpose([axes.index(axis) for axis in there])


def _array(value: Any) -> Any:
    import numpy as np

    if callable(getattr(value, "detach", None)):
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    return np.asarray(value)
