"""dvclive gets what somebody else recorded, and nothing but its store changes."""

import foreign
import pytest

from multitrack.trackers.process import spawn


@pytest.mark.parametrize("link", [None, "dvclive", "dvclive/plots", "dvclive/artifacts"])
def test_nothing_but_its_folder_changes(tmp_path, monkeypatch, link):
    home = tmp_path / "home"
    work = foreign.make_home(home)
    folder = foreign.recorded_by_another(monkeypatch, tmp_path / "sent", "dvclive")
    state = {"attachment": {"id": str(home), "state": {"folder": str(home)}}}
    foreign.write(folder, home, {"cwd": str(home)}, state, {}, {})
    if link:
        (work / link).parent.mkdir(exist_ok=True)
        (work / link).symlink_to(home / ".ssh")
    monkeypatch.chdir(work)
    store = () if link else (work / "dvclive",)
    before = foreign.what_lies_in(home, but=store)
    code = spawn(folder, "dvclive").wait(120)
    assert foreign.what_lies_in(home, but=store) == before
    assert (code == 0) is (link is None), folder.courier("dvclive").log.read_text()
    if not link:
        assert "0.5" in (work / "dvclive" / "plots" / "metrics" / "loss.tsv").read_text()
