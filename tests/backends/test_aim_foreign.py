"""aim gets what somebody else recorded, and nothing but its store changes."""

import foreign
from aim import Repo

from multitrack.trackers.process import spawn


def test_it_goes_to_the_deliverers_repository_and_to_no_run_of_theirs(tmp_path, monkeypatch):
    home = tmp_path / "home"
    work = foreign.make_home(home)
    folder = foreign.recorded_by_another(monkeypatch, tmp_path / "sent", "aim")
    state = {"attachment": {"id": "../../.ssh", "state": {"repo": str(home)}}}
    foreign.write(folder, home, {"cwd": str(home)}, state, {}, {})
    monkeypatch.chdir(work)
    before = foreign.what_lies_in(home, but=(work / ".aim",))
    assert spawn(folder, "aim").wait(120) == 0, folder.courier("aim").log.read_text()
    assert foreign.what_lies_in(home, but=(work / ".aim",)) == before
    attached = folder.courier("aim").read_state().attachment
    assert Repo(str(work)).list_all_runs() == [attached.id]
