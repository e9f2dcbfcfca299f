"""W&B gets what somebody else recorded, offline, and no session elsewhere is removed."""

import foreign

from multitrack.trackers.process import spawn


def test_sessions_that_the_folder_names_stay_and_its_configuration_is_not_read(
    tmp_path, monkeypatch
):
    work = foreign.make_home(tmp_path / "home")
    victim = tmp_path / "home" / "offline-run-20240101_000000-mine"
    victim.mkdir()
    (victim / "run-mine.wandb").write_bytes(b"mine")
    folder = foreign.recorded_by_another(monkeypatch, tmp_path / "sent", "wandb")
    state = {"attachment": {"id": "evil", "state": {"folders": [str(victim)]}}}
    foreign.write(folder, tmp_path / "home", {"cwd": "/nonexistent"}, state, {}, {})
    (folder.path / "wandb").mkdir()
    (folder.path / "wandb" / "settings").write_text("[default]\nbase_url = http://127.0.0.1:9\n")
    (work / "wandb").mkdir()
    (work / "wandb" / "settings").write_text("[default]\nbase_url = http://127.0.0.1:9\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(work)
    assert spawn(folder, "wandb").wait(120) == 0, folder.courier("wandb").log.read_text()
    assert (victim / "run-mine.wandb").read_bytes() == b"mine"
    assert not list((folder.path / "wandb").glob("offline-run-*"))
    [session] = (work / "wandb").glob("offline-run-*")
    [file] = session.glob("*.wandb")
    content = file.read_bytes()
    assert b"loss" in content
    assert b"127.0.0.1" not in content
