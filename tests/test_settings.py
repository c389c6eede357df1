"""Settings that follow their file: settled, valid, and not half applied."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from gpt_cursor_runner.config import (
    Check,
    Config,
    ConfigRefused,
    Repository,
    SandboxLimits,
    export_last_valid,
)
from gpt_cursor_runner.config.profile import profile_digest
from gpt_cursor_runner.config.settings import SETTLE_SECONDS, Settings
from gpt_cursor_runner.health.monitor.model import CheckStatus
from gpt_cursor_runner.health.probes.settings import SettingsProbe

MINIMUM = "[server]\nmax_body_bytes = 2000\n"
OTHER = "[server]\nmax_body_bytes = 3000\n"


class SettingsFile:
    """A settings file with its settings, and the clock they go by."""

    def __init__(self, path: Path, text: str = MINIMUM) -> None:
        self.path = path
        self.now = 100.0
        self.path.write_text(text)
        self.settings = Settings.load(path, lambda: self.now)

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def refresh_after(self, seconds: float) -> bool:
        self.now += seconds
        return self.settings.refresh()

    def settle(self) -> None:
        self.settings.refresh()
        assert self.refresh_after(SETTLE_SECONDS * 1.1)

    @property
    def max_body_bytes(self) -> int:
        return self.settings.config.server.max_body_bytes

    @property
    def invalid(self) -> str:
        return self.settings.state.invalid


@pytest.fixture
def file(tmp_path: Path) -> SettingsFile:
    return SettingsFile(tmp_path / "runner.toml")


def repository_text(path: Path, extra: str = "") -> str:
    return f'[[repository]]\nname = "app"\npath = "{path}"\n{extra}'


def test_a_file_that_is_not_changed_keeps_the_same_value(file: SettingsFile) -> None:
    before = file.settings.config
    assert file.refresh_after(60)
    assert file.settings.config is before


def test_a_change_takes_effect_once_it_has_settled(file: SettingsFile) -> None:
    file.write(OTHER)
    assert not file.refresh_after(1)
    assert file.max_body_bytes == 2000
    assert file.refresh_after(SETTLE_SECONDS * 1.1)
    assert file.max_body_bytes == 3000


def test_a_file_that_is_being_written_is_not_judged(file: SettingsFile) -> None:
    for half in ("", "[server", "[server]\nmax_body_bytes = 30", OTHER[:-2]):
        file.write(half)
        assert not file.refresh_after(SETTLE_SECONDS * 0.9)
        assert (file.max_body_bytes, file.invalid) == (2000, "")
    file.write(OTHER)
    file.settle()
    assert (file.max_body_bytes, file.invalid) == (3000, "")


def test_a_change_that_is_undone_before_it_has_settled_is_none(file: SettingsFile) -> None:
    before = file.settings.config
    file.write("nonsense")
    assert not file.refresh_after(0)
    file.write(MINIMUM)
    assert file.refresh_after(SETTLE_SECONDS)
    assert file.settings.config is before
    assert file.invalid == ""


def test_a_change_of_the_same_size_and_time_is_noticed(file: SettingsFile) -> None:
    before = file.path.stat()
    file.write(OTHER)
    os.utime(file.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    file.settle()
    assert file.max_body_bytes == 3000


def test_a_file_that_is_replaced_by_rename_is_noticed(file: SettingsFile) -> None:
    beside = file.path.with_suffix(".new")
    beside.write_text(OTHER)
    beside.replace(file.path)
    file.settle()
    assert file.max_body_bytes == 3000


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[server]\nmax_body_bytes = 1\n", "server.max_body_bytes: "),
        ("[server]\nmax_body_bites = 5000\n", "server.max_body_bites: unknown key"),
        ("[server\n", "line 1"),
    ],
)
def test_an_invalid_change_is_refused_with_its_place_until_it_is_mended(
    file: SettingsFile, text: str, place: str
) -> None:
    before = file.settings.config
    file.write(text)
    file.settle()
    assert file.settings.config is before
    assert place in file.invalid
    assert "\n" not in file.invalid
    file.write(OTHER)
    file.settle()
    assert (file.max_body_bytes, file.invalid) == (3000, "")


def test_every_fault_of_an_invalid_change_is_named(file: SettingsFile) -> None:
    file.write('[server]\nmax_body_bites = 1\n[state]\ndatabase = "x"\n')
    file.settle()
    assert "server.max_body_bites" in file.invalid
    assert "state.database" in file.invalid


def test_the_old_settings_stay_when_the_file_vanishes(file: SettingsFile) -> None:
    file.path.unlink()
    file.settle()
    assert "cannot be read" in file.invalid
    assert file.max_body_bytes == 2000
    file.write(MINIMUM)
    file.settle()
    assert file.invalid == ""


def test_a_path_that_is_created_later_mends_the_file(tmp_path: Path, file: SettingsFile) -> None:
    tools = tmp_path / "tools"
    file.write(repository_text(tmp_path, f'sandbox_read_only = ["{tools}"]\n'))
    file.settle()
    assert "repository[0].sandbox_read_only[0]" in file.invalid
    tools.mkdir()
    assert file.refresh_after(10)
    assert file.invalid == ""
    assert file.settings.config.repository[0].sandbox_read_only == (tools,)


def test_keys_that_need_a_restart_are_named_and_not_applied(file: SettingsFile) -> None:
    before = file.settings.config
    file.write(
        '[server]\nport = 7777\nmax_body_bytes = 3000\n[health]\nping_url = "http://127.0.0.1:9/"\n'
    )
    file.settle()
    state = file.settings.state
    assert state.restart_needed == ("server.port", "health.ping_url")
    assert (state.config.server.port, state.config.health) == (before.server.port, before.health)
    assert state.config.server.max_body_bytes == 3000
    file.write(MINIMUM)
    file.settle()
    assert file.settings.state.restart_needed == ()


def test_repositories_are_added_changed_and_removed(tmp_path: Path, file: SettingsFile) -> None:
    file.write(MINIMUM + repository_text(tmp_path, 'approval = "never"\n'))
    file.settle()
    assert file.settings.config.repository[0].approval == "never"
    file.write(MINIMUM)
    file.settle()
    assert file.settings.config.repository == ()


def test_the_environment_stays_over_a_changed_file(
    file: SettingsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCR_SERVER__MAX_BODY_BYTES", "4000")
    file.write(OTHER)
    file.settle()
    assert file.max_body_bytes == 4000


def test_settings_without_a_file_do_not_change() -> None:
    settings = Settings.load(None)
    before = settings.config
    assert settings.refresh()
    assert settings.config is before


def test_the_first_reading_refuses_an_invalid_file(tmp_path: Path) -> None:
    (tmp_path / "runner.toml").write_text("[server\n")
    with pytest.raises(ConfigRefused):
        Settings.load(tmp_path / "runner.toml")


def test_threads_that_refresh_together_agree(tmp_path: Path) -> None:
    path = tmp_path / "runner.toml"
    path.write_text(MINIMUM)
    settings = Settings.load(path)
    results: list[int] = []

    def refresh_until_changed() -> None:
        while settings.config.server.max_body_bytes == 2000:
            settings.refresh()
        results.append(settings.config.server.max_body_bytes)

    threads = [threading.Thread(target=refresh_until_changed) for _ in range(4)]
    for thread in threads:
        thread.start()
    path.write_text(OTHER)
    for thread in threads:
        thread.join(30)
    assert results == [3000] * 4


def test_the_check_of_the_settings_has_a_code_for_each_state(file: SettingsFile) -> None:
    probe = SettingsProbe(lambda: file.settings.state)
    assert (probe.read().status, probe.read().code) == (CheckStatus.OK, "ok")
    file.write("[server]\nport = 7777\n")
    file.settle()
    reading = probe.read()
    assert (reading.status, reading.code) == (CheckStatus.WARN, "restart_needed")
    assert "server.port" in reading.message
    file.write("[server]\nport = 0\n")
    file.settle()
    reading = probe.read()
    assert (reading.status, reading.code, reading.fact) == (CheckStatus.FAIL, "invalid", True)
    assert "server.port" in reading.message
    assert reading.remedy


def test_a_restart_under_an_invalid_file_uses_the_last_valid_one(
    tmp_path: Path, file: SettingsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "last-valid.toml"
    monkeypatch.setenv("GCR_LAST_VALID", "")
    export_last_valid(copy)
    file.write(OTHER)
    file.settle()
    assert copy.stat().st_mode & 0o077 == 0
    for broken in ("[server\n", None):
        file.path.unlink()
        if broken is not None:
            file.write(broken)
        restarted = Settings.load(file.path)
        assert restarted.config.server.max_body_bytes == 3000
        assert restarted.state.invalid
        assert restarted.refresh()
        file.write(OTHER)
    export_last_valid(copy)
    file.write("[server\n")
    with pytest.raises(ConfigRefused):
        Settings.load(file.path)


def a_repository(path: Path, **members: Any) -> Repository:
    return Repository(**({"name": "app", "path": path} | members))


def digest(repository: Repository, limits: SandboxLimits | None = None) -> str:
    return profile_digest(repository, limits or SandboxLimits())


def test_the_profile_covers_what_judges_a_patch(tmp_path: Path) -> None:
    present = digest(a_repository(tmp_path))
    check = Check(name="tests", command=("false",))
    assert len(present) == 64
    for members in (
        {"checks": (check,)},
        {"approval": "never"},
        {"protected": ("x",)},
        {"sandbox": "none"},
        {"sandbox_read_only": (tmp_path,)},
    ):
        assert digest(a_repository(tmp_path, **members)) != present, members
    assert digest(a_repository(tmp_path), SandboxLimits(memory_mb=64)) != present


def test_the_profile_does_not_depend_on_where_a_patch_lands(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = a_repository(tmp_path / "other", name="b", branch="c", tag=False, push="origin")
    assert digest(other) == digest(a_repository(tmp_path))


def test_settings_in_effect_are_the_configs_own(file: SettingsFile) -> None:
    assert isinstance(file.settings.config, Config)
