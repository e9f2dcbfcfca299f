"""multitrack in the real ``fit`` of Keras on torch, read back with TensorBoard's reader."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from oddities import made, names_and_values, recipes

from multitrack.compat.keras import MultitrackCallback
from multitrack.trackers.history import read_history

X, Y = np.linspace(0, 1, 32).reshape(8, 4), np.ones(8)


def make_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)], name="tiny")
    model.compile(keras.optimizers.SGD(0.05), loss="mse", metrics=["mae"])
    return model


def fit(model, callbacks, **options):
    defaults = {"batch_size": 2, "epochs": 2, "verbose": 0, "shuffle": False}
    return model.fit(X, Y, callbacks=callbacks, **(defaults | options)).history


@pytest.fixture
def callback(options):
    callback = MultitrackCallback("digits", "first", **options, config={"token": "secret"})
    yield callback
    if callback.run:
        callback.run.finish(quiet=True)


def test_training_reaches_tensorboard(callback, stored, histories):
    model = make_model()
    found = fit(model, [callback], validation_data=(X, Y))
    test = model.evaluate(X, Y, verbose=0, return_dict=True, callbacks=[callback])
    callback.run.finish()
    points, _ = stored()
    as_float32 = {key: np.float32(values).tolist() for key, values in found.items()}
    assert points["train/loss"] == list(zip([4, 8], as_float32["loss"], strict=True))
    assert points["eval/mae"] == list(zip([4, 8], as_float32["val_mae"], strict=True))
    assert points["test/loss"] == [(8, np.float32(test["loss"]))]
    [history] = histories()
    names = [f"{split}/{name}" for split in ("train", "eval", "test") for name in ("loss", "mae")]
    assert set(history.series) == set(names)
    assert history.params["token"] == "<redacted>"
    assert history.params["args"]["epochs"] == 2
    assert history.params["args"]["steps"] == 4
    assert history.params["args"]["optimizer"]["learning_rate"] == pytest.approx(0.05)
    assert history.params["model"] == {"name": "tiny", "num_parameters": 5}
    assert history.status == "finished"
    assert not history.refused


def test_running_means_are_logged_when_asked_for(options, histories):
    callback = MultitrackCallback(log_every=3, **options)
    fit(make_model(), [callback], epochs=3)
    callback.run.finish()
    [history] = histories()
    assert list(history.series["train/loss"].steps) == [3, 4, 6, 8, 9, 12, 12]


def test_training_goes_on(callback, options, tmp_path, histories):
    model = make_model()
    fit(model, [callback])
    fit(model, [callback], initial_epoch=2, epochs=3)
    model.save(tmp_path / "model.keras")
    callback.run.finish()
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = MultitrackCallback(**options, run_id=callback.run.id)
    fit(loaded, [again], initial_epoch=3, epochs=4)
    again.run.finish()
    [history] = histories()
    assert list(history.series["train/loss"].steps) == [4, 8, 12, 16]
    assert history.status == "finished"


class Raising(keras.callbacks.Callback):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_train_batch_end(self, batch, logs=None):
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_training_that_raises_is_told_at_once(callback, histories, error, status):
    with pytest.raises(type(error)):
        fit(make_model(), [callback, Raising(error)])
    [history] = histories()
    assert history.status == status
    assert history.error.startswith(type(error).__name__)


def test_the_failure_of_another_model_is_not_the_runs(callback, histories):
    MultitrackCallback(report_to="none")  # wraps ``fit`` only once
    with pytest.raises(ValueError, match="no"):
        fit(make_model(), [Raising(ValueError("no"))])
    fit(make_model(), [callback])
    [history] = histories()
    assert history.status == "finished"


def test_other_ranks_record_nothing(options, histories, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    callback = MultitrackCallback(**options)
    fit(make_model(), [callback], validation_data=(X, Y))
    assert callback.run is None
    assert not histories()


@pytest.mark.parametrize(
    ("wrong", "message"), [({"report_to": "nothing"}, "nothing"), ({"colour": 1}, "colour")]
)
def test_mistakes_are_told_before_training(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MultitrackCallback(**wrong)


def test_another_model_has_a_run_of_its_own(callback, histories):
    """As in a k-fold loop; what goes on with a model that was trained stays in its run."""
    model = make_model()
    fit(model, [callback])
    model.evaluate(X, Y, verbose=0, callbacks=[callback])
    fit(make_model(), [callback], epochs=1)
    callback.run.finish()
    first, second = histories()
    assert list(first.series["train/loss"].steps) == [4, 8]
    assert list(first.series["test/loss"].steps) == [8]
    assert list(second.series["train/loss"].steps) == [4]
    assert (first.status, second.status) == ("finished", "finished")


def test_names_with_a_slash_have_their_split(callback, histories):
    class Adds(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs.update({"rewards/chosen": 1.0, "val_rewards/chosen": 2.0})

    fit(make_model(), [Adds(), callback])
    [history] = histories()
    assert {"train/rewards/chosen", "eval/rewards/chosen"} <= set(history.series)


def test_two_names_of_one_metric_stay_two(callback, histories):
    callback.set_model(make_model())
    callback.set_params({})
    callback.on_train_begin()
    callback.on_epoch_end(0, {"val_loss": 1.0, "eval_loss": 2.0})
    callback.on_train_end()
    callback.on_test_end([("loss", 1.0)])  # which names nothing
    callback.on_test_end({"loss": 3.0})
    [history] = histories()
    last = {name: series.last.value for name, series in history.series.items()}
    assert last == {"eval/loss": 1.0, "eval/loss_2": 2.0, "test/loss": 3.0}


class OwnSchedule(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1


def test_what_cannot_be_described_costs_nothing_else(callback, histories):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(OwnSchedule()), loss="mse")
    fit(model, [callback])
    [history] = histories()
    assert history.params["args"]["epochs"] == 2
    assert history.status == "finished"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipe=recipes, row=names_and_values())
def test_no_value_raises_into_training(tmp_path_factory, recipe, row):
    folder = tmp_path_factory.getbasetemp() / "odd"
    callback = MultitrackCallback(report_to="none", dir=folder, config=made(row), log_every=1)
    callback.set_model(make_model())
    callback.set_params({"epochs": made(recipe), "steps": 1})
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    callback.on_train_batch_end(0, {"first": 0.5, **made(row)})
    callback.on_epoch_end(0, {"odd": made(recipe), **made(row), "val_last": 0.25})
    callback.on_train_end()
    callback.run.finish(quiet=True)
    history = read_history(callback.run.folder)
    assert history.series["train/first"].values[0] == 0.5
    assert list(history.series["eval/last"].values) == [0.25]
