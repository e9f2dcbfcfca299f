"""An MLflow tracker on the bench: started, fed and read back without a courier."""

from mlflow_reader import Reader

from multitrack.trackers.backends.mlflow import MLflowTracker
from multitrack.trackers.folder import RunFolder
from multitrack.trackers.protocol import RunInfo
from multitrack.trackers.records import Header, Host, Metrics, Params
from multitrack.trackers.settings import load

NOW = 1_795_000_000.0


class Bench:
    """A tracker on the bench: started, fed and read without a courier."""

    def __init__(self, tmp_path, uri):
        self.tmp_path = tmp_path
        self.uri = uri
        self.folder = RunFolder(tmp_path / "20261124-101502-123-9f3ac1")
        self.folder.create()

    def start(self, attachment=None, settings=None, environ=None, **header):
        run = Header(
            time=NOW,
            run_id=self.folder.run_id,
            host=Host(hostname="h", pid=1, platform="p", python="3"),
            cwd=str(self.tmp_path),
            **header,
        )
        chosen = {"tracking_uri": self.uri, **(settings or {})}
        tracker = MLflowTracker(
            load(MLflowTracker.settings_type, environ=environ or {}, arguments=chosen)
        )
        self.attachment = tracker.start(
            RunInfo(
                header=run,
                folder=self.folder.path,
                attachment=attachment,
                directory=self.tmp_path,
            )
        )
        return tracker

    @property
    def stored(self):
        return Reader(self.uri, self.attachment.id)

    def points(self, key):
        return [(m.step, m.value, m.timestamp) for m in self.stored.points(key)]


def metrics(step, epoch=None, **values):
    return Metrics(time=NOW + step, step=step, epoch=epoch, values=values)


def params(**values):
    return Params(time=NOW, values=values)


def answer_of(call, *arguments, **keywords):
    """Return what the adapter makes of the exception that the client raises."""
    try:
        call(*arguments, **keywords)
    except Exception as error:
        return MLflowTracker(MLflowTracker.settings_type()).classify(error)
    raise AssertionError("it went through")
