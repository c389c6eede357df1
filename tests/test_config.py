"""Settings: located, read, overridden, and refused with the key and the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpt_cursor_runner.config import (
    DEFAULT_PORT,
    DEFAULT_PROTECTED,
    Config,
    ConfigRefused,
    client_key,
    environment_of_checks,
    export,
    find_config,
    load_config,
    notify_socket,
    search_path,
    watchdog_seconds,
)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A directory that may be named as a repository."""
    (tmp_path / "app").mkdir()
    return tmp_path / "app"


def repository(where: Path, **members: Any) -> str:
    settings = {"name": "app", "path": str(where), **members}
    lines = [f"{key} = {_toml(value)}\n" for key, value in settings.items()]
    return "[[repository]]\n" + "".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)


def load(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "runner.toml"
    file.write_text(text)
    return load_config(file)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigRefused) as refused:
        load(tmp_path, text)
    return str(refused.value)


def test_without_settings_every_default_holds() -> None:
    config = load_config(None)
    assert (config.server.host, config.server.port, config.server.max_body_bytes) == (
        "127.0.0.1",
        DEFAULT_PORT,
        1048576,
    )
    assert config.state.database == "sqlite"
    assert config.repository == ()


def test_a_repository_is_protected_by_default(tmp_path: Path, app: Path) -> None:
    app_repository = load(tmp_path, repository(app)).repository[0]
    assert (
        app_repository.branch,
        app_repository.approval,
        app_repository.sandbox,
        app_repository.tag,
        app_repository.push,
    ) == (
        "main",
        "protected",
        "required",
        True,
        "",
    )
    assert app_repository.protected == DEFAULT_PROTECTED
    assert app_repository.checks == ()


def test_every_written_setting_is_read(tmp_path: Path, app: Path) -> None:
    text = f"""
[server]
port = 6000
public_url = "https://patches.example.org/"
[state]
dir = "{tmp_path}/state"
{repository(app, branch="develop", approval="never", sandbox="best", tag=False, push="origin")}
checks = [{{ name = "tests", command = ["make", "test"], timeout_seconds = 30 }}]
"""
    config = load(tmp_path, text)
    assert (config.server.port, config.server.public_url) == (6000, "https://patches.example.org")
    assert config.state.patches_dir == tmp_path / "state" / "patches"
    app_repository = config.repository_named("app")
    assert app_repository is config.repository_named(None)
    assert app_repository is not None
    assert (app_repository.checks[0].command, app_repository.checks[0].timeout_seconds) == (
        ("make", "test"),
        30,
    )


WRONG = {
    "an unknown section": (
        "[servr]\nport = 1\n",
        "servr",
        "unknown key; remove it or correct its spelling",
    ),
    "an unknown key": (
        "[server]\nprot = 6000\n",
        "server.prot",
        "unknown key; remove it or correct its spelling",
    ),
    "a wrong type": ('[server]\nport = "many"\n', "server.port", "valid integer"),
    "a port out of range": (
        "[server]\nport = 70000\n",
        "server.port",
        "less than or equal to 65535",
    ),
    "a body limit of nothing": (
        "[server]\nmax_body_bytes = 1\n",
        "server.max_body_bytes",
        "greater than or equal",
    ),
    "an address that is none": (
        '[server]\npublic_url = "example.org"\n',
        "server.public_url",
        "https://",
    ),
    "a database of another kind": ('[state]\ndatabase = "mysql"\n', "state.database", "'sqlite'"),
    "a repository without a path": (
        '[[repository]]\nname = "app"\n',
        "repository[0].path",
        "missing; add it",
    ),
    "a repository without a name": (
        '[[repository]]\npath = "."\n',
        "repository[0].name",
        "missing; add it",
    ),
    "no key on the network": (
        '[server]\nhost = "0.0.0.0"\ninsecure_no_auth = true\n',
        "server",
        "set host to 127.0.0.1",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_refused_with_its_key_and_its_fix(tmp_path: Path, case: str) -> None:
    text, key, fix = WRONG[case]
    message = refusal(tmp_path, text)
    assert f"  {key}: " in message
    assert fix in message
    assert str(tmp_path / "runner.toml") in message


WRONG_REPOSITORY: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown rule": ({"approval": "maybe"}, "approval", "'never', 'protected' or 'always'"),
    "an unknown sandbox": ({"sandbox": "docker"}, "sandbox", "'required', 'best' or 'none'"),
    "a ref for a branch": ({"branch": "refs/heads/main"}, "branch", "plain branch name like main"),
    "an option for a branch": ({"branch": "--force"}, "branch", "plain branch name like main"),
    "an option for a remote": ({"push": "--mirror"}, "push", "name of a remote"),
    "a name with a slash": ({"name": "a/b"}, "name", "match pattern"),
    "a check without a command": (
        {"checks": [{"name": "x", "command": []}]},
        "checks[0].command",
        "at least 1",
    ),
    "a check in one string": (
        {"checks": [{"name": "x", "command": "make"}]},
        "checks[0].command",
        "valid tuple",
    ),
    "a check without end": (
        {"checks": [{"name": "x", "command": ["x"], "timeout_seconds": 0}]},
        "checks[0].timeout_seconds",
        "greater than 0",
    ),
    "an unknown key of a check": (
        {"checks": [{"name": "x", "command": ["x"], "shell": True}]},
        "checks[0].shell",
        "unknown key",
    ),
    "a directory to show that is not there": (
        {"sandbox_read_only": ["/nowhere/at/all"]},
        "sandbox_read_only[0]",
        "correct the path",
    ),
}


@pytest.mark.parametrize("case", WRONG_REPOSITORY)
def test_a_wrong_repository_is_refused_with_its_key_and_its_fix(
    tmp_path: Path, app: Path, case: str
) -> None:
    members, key, fix = WRONG_REPOSITORY[case]
    message = refusal(tmp_path, repository(app, **members))
    assert f"  repository[0].{key}: " in message
    assert fix in message


def test_two_repositories_of_the_same_name_are_refused(tmp_path: Path, app: Path) -> None:
    message = refusal(tmp_path, repository(app) + repository(app, branch="develop"))
    assert "repository: the name 'app' is used twice; rename one" in message


def test_two_checks_of_the_same_name_are_refused(tmp_path: Path, app: Path) -> None:
    check = {"name": "tests", "command": ["true"]}
    message = refusal(tmp_path, repository(app, checks=[check, check]))
    assert "repository[0].checks: the name 'tests' is used twice; rename one" in message


def test_a_state_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = refusal(tmp_path, f'[state]\ndir = "{tmp_path}/file"\n')
    assert "  state.dir: " in message
    assert "name another" in message


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, '[server]\nport = 0\nhots = "x"\n[state]\ndatabase = "x"\n')
    assert all(f"  {key}: " in message for key in ("server.port", "server.hots", "state.database"))


def test_a_file_that_is_not_toml_is_refused_with_the_line(tmp_path: Path) -> None:
    assert "not TOML" in refusal(tmp_path, "[server\n")
    assert "line 1" in refusal(tmp_path, "[server\n")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runner.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigRefused, match="not TOML"):
        load_config(tmp_path / "runner.toml")


def test_a_variable_with_broken_json_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GCR_REPOSITORY", "[")
    with pytest.raises(ConfigRefused, match="repository"):
        load_config(None)


def test_the_environment_overrides_the_file_key_by_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCR_SERVER__PORT", "7000")
    config = load(tmp_path, '[server]\nport = 6000\nhost = "::1"\n')
    assert (config.server.port, config.server.host) == (7000, "::1")


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("GCR_SERVER__PROT", "1", "server.prot"),
        ("GCR_SERVER__PORT", "many", "server.port"),
        ("GCR_SERVR__PORT", "7000", "GCR_SERVR__PORT"),
        ("GCR_PORT", "7000", "GCR_PORT"),
    ],
)
def test_a_wrong_variable_is_refused_like_a_wrong_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, key: str
) -> None:
    monkeypatch.setenv(name, value)
    assert f"  {key}: " in refusal(tmp_path, "")


def test_other_variables_of_gcr_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCR_CONFIG", "somewhere")
    monkeypatch.setenv("GCR_KEY", "gcr_0_0")
    assert load(tmp_path, "").server.port == DEFAULT_PORT
    assert client_key() == "gcr_0_0"


def test_settings_are_frozen() -> None:
    config = load_config(None)
    with pytest.raises(ValueError, match="frozen"):
        config.server = config.server  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        config.server.port = 1  # type: ignore[misc]


def test_a_repository_that_is_not_there_is_accepted(tmp_path: Path) -> None:
    config = load(tmp_path, repository(tmp_path / "gone"))
    assert config.repository[0].path == tmp_path / "gone"


def test_a_tilde_stands_for_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: Path
) -> None:
    monkeypatch.setenv("HOME", str(app.parent))
    config = load(tmp_path, '[state]\ndir = "~/state"\n' + repository(Path("~/app")))
    assert config.state.dir == app.parent / "state"
    assert config.repository[0].path == app


def test_a_named_file_comes_before_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {
        name: tmp_path / name / "runner.toml"
        for name in ("given", "variable", "here", "user/gpt-cursor-runner")
    }
    for file in places.values():
        file.parent.mkdir(parents=True)
        file.write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path / "here")
    environment = {"GCR_CONFIG": str(places["variable"])}
    assert find_config(places["given"], environment) == places["given"]
    assert find_config(None, environment) == places["variable"]
    assert find_config(None, {}) == places["here"]
    places["here"].unlink()
    assert find_config(None, {}) == places["user/gpt-cursor-runner"]
    places["user/gpt-cursor-runner"].unlink()
    assert find_config(None, {}) is None


@pytest.mark.parametrize("given", [True, False])
def test_a_missing_named_file_is_refused_with_the_command_that_creates_it(
    tmp_path: Path, given: bool
) -> None:
    absent = str(tmp_path / "absent.toml")
    with pytest.raises(ConfigRefused, match="gcr init --config") as refused:
        find_config(absent if given else None, {} if given else {"GCR_CONFIG": absent})
    assert absent in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused, match=r"cannot be read: .*directory"):
        load_config(tmp_path)


def test_started_processes_find_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GCR_CONFIG", "GCR_SERVER__INSECURE_NO_AUTH", "GCR_STATE__LOG_TO_FILE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    file = tmp_path / "runner.toml"
    file.write_text("[server]\nport = 6000\n")
    export(file, insecure_no_auth=True, log_to_file=True)
    path = find_config()
    assert path == file
    config = load_config(path)
    assert (config.server.port, config.server.insecure_no_auth, config.state.log_to_file) == (
        6000,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:5555"),
        ("0.0.0.0", "http://127.0.0.1:5555"),  # noqa: S104  a setting, not a bind
        ("::", "http://[::1]:5555"),
        ("::1", "http://[::1]:5555"),
        ("box.local", "http://box.local:5555"),
    ],
)
def test_the_url_is_reachable_from_this_machine(tmp_path: Path, host: str, url: str) -> None:
    assert load(tmp_path, f'[server]\nhost = "{host}"\n').server.url == url


def test_a_repository_is_chosen_by_its_name(tmp_path: Path, app: Path) -> None:
    config = load(tmp_path, repository(app) + repository(app, name="site"))
    site = config.repository_named("site")
    assert site is not None
    assert site.name == "site"
    assert config.repository_named(None) is None
    assert config.repository_named("other") is None


def test_programs_are_searched_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/one:/two")
    assert search_path() == "/one:/two"


def test_health_and_alerts_have_their_settings(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[health]\nexternal_runner = "ghost-runner.js"\ntunnel_metrics = "http://127.0.0.1:20241/"\n'
        '[[health.check]]\nname = "raid"\ncommand = ["cat", "/proc/mdstat"]\ncritical = true\n'
        f'[alerts]\nwebhook_url = "https://example.org/hook"\nwebhook_secret = "{SECRET}"\n',
    )
    assert (config.health.external_runner, config.health.tunnel_metrics) == (
        "ghost-runner.js",
        "http://127.0.0.1:20241",
    )
    (raid,) = config.health.check
    assert (raid.command, raid.interval_seconds, raid.timeout_seconds, raid.critical) == (
        ("cat", "/proc/mdstat"),
        60,
        10,
        True,
    )
    assert (config.alerts.minimum_severity, config.alerts.remind_hours) == ("warning", 4)


SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[health]\nexternal_runner = "/opt/ghost.js"',
            "health.external_runner: must be the bare file name",
        ),
        (
            '[health]\ntunnel_metrics = "127.0.0.1:20241"',
            "health.tunnel_metrics: must start with http",
        ),
        ('[health]\nping_url = "https://"', "health.ping_url: must name a host"),
        ("[health]\nops_port = 65536", "health.ops_port: "),
        ("[health]\ninterval = 1", "health.interval: unknown key"),
        ('[[health.check]]\nname = "Raid"\ncommand = ["a"]', "health.check[0].name: "),
        ('[[health.check]]\nname = "raid"\ncommand = []', "health.check[0].command: "),
        (
            2 * '[[health.check]]\nname = "raid"\ncommand = ["a"]\n',
            "health.check: the name 'raid' is used twice",
        ),
        (
            '[alerts]\nwebhook_url = "https://a.example"',
            "alerts: webhook_url needs a webhook_secret",
        ),
        ('[alerts]\nwebhook_secret = "hunter2"', "alerts.webhook_secret: must be whsec_"),
        (f'[alerts]\nwebhook_secret = "{SECRET[6:]}"', "alerts.webhook_secret: must be whsec_"),
        ('[alerts]\nwebhook_secret = "whsec_c2hvcnQ="', "alerts.webhook_secret: must be whsec_"),
        ('[alerts]\nminimum_severity = "info"', "alerts.minimum_severity: "),
    ],
)
def test_a_wrong_setting_of_health_or_alerts_is_named(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message in refusal(tmp_path, text)


def test_the_ops_port_follows_the_servers_unless_it_is_set(
    tmp_path: Path,
) -> None:
    assert load(tmp_path, "[server]\nport = 6000").ops_port == 6001
    assert load(tmp_path, "[server]\nport = 65535").ops_port == 1
    assert load(tmp_path, "[health]\nops_port = 0").ops_port == 0
    assert load(tmp_path, "[health]\nops_port = 7000").ops_port == 7000


def test_the_variables_of_systemd_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (notify_socket(), watchdog_seconds()) == (None, None)
    monkeypatch.setenv("NOTIFY_SOCKET", "@here")
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert (notify_socket(), watchdog_seconds()) == ("@here", 30.0)
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert watchdog_seconds() is None


def test_the_owners_checks_get_three_variables_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCR_KEY", "gcr_secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    visible = environment_of_checks()
    assert visible["LANG"] == "C.UTF-8" and set(visible) <= {"PATH", "HOME", "LANG"}
