"""No value, however odd, raises into training or takes another one with it: every call of a run."""

import pytest
from hypothesis import given
from oddities import made, names_and_values, recipes

from multitrack import start_run
from multitrack.trackers import structure, trees
from multitrack.trackers.records import Artifact, Header, Metrics, Params, Summary, Tags
from multitrack.trackers.testing import samples

CALLS = {
    "log": {"metrics": {"loss": 0.5}, "step": 1, "epoch": 0.5},
    "log_params": {"params": {"lr": 0.1}},
    "set_tags": {"tags": ["baseline"]},
    "summary": {"results": {"best": 0.5}},
    "log_text": {"key": "key", "text": "text", "step": 1},
    "log_image": {"key": "key", "image": samples.png(), "step": 1, "caption": "caption"},
    "log_figure": {"key": "key", "figure": samples.PlotlyLike(), "step": 1, "caption": "caption"},
    "log_histogram": {"key": "key", "data": ([1], [0, 1]), "step": 1, "bins": 64},
    "log_table": {"key": "key", "data": [[1]], "columns": ["a"], "step": 1},
    "log_audio": {
        "key": "key",
        "audio": samples.wav(),
        "sample_rate": 8000,
        "step": 1,
        "caption": "caption",
    },
    "log_video": {
        "key": "key",
        "video": samples.gif(),
        "fps": 4,
        "step": 1,
        "caption": "caption",
    },
    "log_artifact": {
        "path": __file__,
        "name": "name",
        "kind": "file",
        "step": 1,
        "aliases": ["best"],
        "metadata": {"x": 1},
        "withhold_from": ["nobody"],
    },
    "refuse": {"name": "name", "reason": "reason"},
}
"""What each method takes."""
LOSES_NOTHING = {
    *("step", "epoch", "caption", "aliases", "metadata", "withhold_from", "kind", "sample_rate"),
    "fps",
}
"""Parameters that say something beside the value: an odd one does not cost it."""


@pytest.fixture(autouse=True)
def _less_of_what_never_ends(monkeypatch):
    for module, name in (
        (structure, "MOST"),
        (trees, "MOST_CONVERTED"),
        (trees, "MOST_REPEATED"),
    ):
        monkeypatch.setattr(module, name, 2_000)


@pytest.mark.parametrize(
    ("method", "parameter"), [(m, p) for m, parameters in CALLS.items() for p in parameters]
)
def test_no_argument_raises(start, records, method, parameter, alarm):
    run = start()

    @given(recipes)
    def try_it(recipe):
        before = len(records(run))
        with alarm(60):
            getattr(run, method)(**{**CALLS[method], parameter: made(recipe)})
        if parameter in LOSES_NOTHING:
            assert len(records(run)) > before

    try_it()


@given(names_and_values())
def test_neighbours_are_kept(start, records, recipe):
    run = start()
    values = {"first": 0.5, **made(recipe), "last": 0.25}
    kept = {"first": 0.5, "last": 0.25}
    run.log(values)
    run.summary(values)
    run.log_params({"in": {"config": values, "list": [values]}})
    run.set_tags(values)
    run.log_artifact(__file__, metadata=values)
    run.log_table("table", [[1.0, made(recipe)]], columns=["first", "odd"])
    for kind in (Metrics, Summary):
        assert kept.items() <= records(run, kind)[-1].values.items()
    params = records(run, Params)[-1].values["in"]
    assert kept.items() <= params["config"].items()
    assert params["list"] == [params["config"]]
    assert {"first": "0.5", "last": "0.25"}.items() <= records(run, Tags)[-1].values.items()
    assert kept.items() <= records(run, Artifact)[-1].metadata.items()
    assert records(run)[-1].rows == 1


@given(names_and_values())
def test_config_and_tags_of_a_start(tmp_path_factory, records, recipe):
    values = {"first": 0.5, **made(recipe), "last": 0.25}
    run = start_run(
        dir=tmp_path_factory.getbasetemp() / "runs",
        report_to="none",
        delivery="later",
        config=values,
        tags=values,
    )
    run.finish(quiet=True)
    (header,) = records(run, Header)
    assert {"first": 0.5, "last": 0.25}.items() <= header.config.items()
    assert {"first": "0.5", "last": "0.25"}.items() <= header.tags.items()


def test_who_wants_to_end_the_program_ends_it(start):
    class Ends:
        def __str__(self):
            raise KeyboardInterrupt

        __float__ = __str__

    run = start()
    for call in (run.log, run.log_params, run.set_tags, run.summary):
        with pytest.raises(KeyboardInterrupt):
            call({"x": Ends()})


def test_what_was_refused_is_named_as_the_user_named_it(start, caplog):
    run = start()
    run.log_text(text="the text itself", key=5)
    run.log_params("the text itself")
    run.log_image(image=b"the bytes", key="samples/digit")
    assert "the text itself" not in caplog.text
    assert "not logged: log_text: TypeError: key must be text, not int" in caplog.text
    assert "not logged: log_params: TypeError: params must have named values" in caplog.text
    assert "not logged: samples/digit: ValueError: no PNG" in caplog.text
