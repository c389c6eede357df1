"""The `components` of a health answer: one short value for each part. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict
from gpt_cursor_runner.health.monitor.model import SEVERITY, CheckStatus

# The port in the user's specification of the answer.
USER_PORT = 5555
# Checks that are a component of their own where they are configured.
_OPTIONAL = ("settings", "repositories", "sandbox", "alerts")
_TUNNEL = "tunnel_"


def components(verdict: Verdict, port: int) -> dict[str, bool | str]:
    """The components by name, for a gateway on `port`. A boolean is true only
    when it is proven.
    """
    results = {result.state.name: result for result in verdict.checks}
    port_is_bound = _is_proven(results, "port")
    shown: dict[str, bool | str] = {
        "flask_responsive": _is_proven(results, "web"),
        "fs_writable": _is_proven(results, "filesystem"),
        "ghost_runner": _runner_state(results.get("runner")),
        # A gateway on another port proves nothing about this one.
        f"port_{USER_PORT}_bound": port_is_bound and port == USER_PORT,
    }
    if port != USER_PORT:
        shown[f"port_{port}_bound"] = port_is_bound
    shown["webhook_endpoint"] = _webhook_endpoint(verdict)
    shown["queue"] = results["queue"].status if "queue" in results else CheckStatus.UNKNOWN
    shown |= _optional_components(results)
    shown["health_engine"] = _health_engine(verdict, results.get("monitor"))
    return shown


def _optional_components(results: Mapping[str, ProbeResult]) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name in _OPTIONAL:
        if name in results:
            shown[name] = results[name].status
    if "external_runner" in results:
        shown["external_runner"] = _runner_state(results["external_runner"])
    tunnel = [result.status for name, result in results.items() if name.startswith(_TUNNEL)]
    if tunnel:
        # Its checks are one component: a tunnel is as good as its worst part.
        shown["tunnel"] = max(tunnel, key=SEVERITY.__getitem__)
    return shown


def _is_proven(results: Mapping[str, ProbeResult], name: str) -> bool:
    return name in results and results[name].proven


def _runner_state(result: ProbeResult | None) -> str:
    if result is None or result.state.reading is None:
        return "unknown"
    reading = result.state.reading
    # A late or stale result has a code of its own; the reading behind it is no
    # longer true.
    if result.code not in (reading.code, "flapping"):
        return "unknown"
    if result.code == "starting":
        return "starting"
    return str(reading.data.get("state", "unknown"))


def _webhook_endpoint(verdict: Verdict) -> str:
    # The critical checks together prove that a patch can be accepted and
    # stored.
    if verdict.ready:
        return "operational"
    critical = [result for result in verdict.checks if result.critical]
    if any(result.status is CheckStatus.FAIL for result in critical):
        return "failing"
    return "unknown"


def _health_engine(verdict: Verdict, monitor: ProbeResult | None) -> CheckStatus:
    if not verdict.engine_alive:
        return CheckStatus.FAIL
    if monitor is None:
        return CheckStatus.OK
    return monitor.status
