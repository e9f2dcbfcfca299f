"""trackio gets what somebody else recorded, and nothing but its store changes."""

import foreign

from multitrack.trackers.process import spawn


def test_nothing_but_its_folder_changes(tmp_path, monkeypatch):
    home = tmp_path / "home"
    work = foreign.make_home(home)
    folder = foreign.recorded_by_another(monkeypatch, tmp_path / "sent", "trackio")
    attached = {"project": "../../x", "server_base_url": "http://127.0.0.1:9"}
    state = {"attachment": {"id": "evil", "state": attached}}
    foreign.write(folder, home, {"project": "../../x"}, state, {}, {})
    monkeypatch.setenv("TRACKIO_DIR", str(work / "store"))
    monkeypatch.chdir(work)
    before = foreign.what_lies_in(home, but=(work / "store",))
    spawn(folder, "trackio").wait(120)
    assert foreign.what_lies_in(home, but=(work / "store",)) == before
