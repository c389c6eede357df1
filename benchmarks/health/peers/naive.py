"""The handler of the user's document: every fact looked up in the request.

A process list searched for the runner's script, a table of connections searched
for the port, a test file, metrics. The document names no interval for the CPU's
percentage; none is the kindest choice, with one second it would be slower.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

import psutil
from flask import Flask

from benchmarks.health.peers.checking import PLACE, hang_while_told

_RUNNER_SCRIPT = "ghost-runner.js"
_PORT = 5555


def application() -> Flask:
    app = Flask("naive")

    @app.get("/health")
    def health() -> dict[str, Any]:
        components = {
            "flask_responsive": True,
            "fs_writable": _fs_writable(),
            "ghost_runner": "up" if _runner_is_up() else "down",
            f"port_{_PORT}_bound": _port_is_bound(),
            "webhook_endpoint": "operational",
        }
        return {
            "components": components,
            "overall_status": _overall(components),
            "system_metrics": _metrics(),
            "timestamp": datetime.now().isoformat(),
            "version": "3.1.1",
        }

    return app


def _runner_is_up() -> bool:
    listed = psutil.process_iter(["pid", "name", "cmdline"])
    return any(_RUNNER_SCRIPT in " ".join(process.info["cmdline"] or []) for process in listed)


def _port_is_bound() -> bool:
    try:
        return any(link.laddr and link.laddr.port == _PORT for link in psutil.net_connections())
    except psutil.AccessDenied:
        return False


def _fs_writable() -> bool:
    hang_while_told()
    path = PLACE / "health_check_test"
    try:
        path.write_text("test")
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _overall(components: dict[str, Any]) -> str:
    if components["ghost_runner"] == "down":
        return "degraded"
    return "healthy" if all(components.values()) else "unknown"


def _metrics() -> dict[str, Any]:
    memory, disk, network = (
        psutil.virtual_memory(),
        psutil.disk_usage("/"),
        psutil.net_io_counters(),
    )
    return {
        "cpu": {
            "percent": psutil.cpu_percent(interval=None),
            "count": psutil.cpu_count(),
            "load_average": os.getloadavg(),
        },
        "memory": {
            "total": memory.total,
            "available": memory.available,
            "used": memory.used,
            "percent": memory.percent,
        },
        "disk": {
            "total": disk.total,
            "used": disk.used,
            "free": disk.free,
            "percent": disk.percent,
        },
        "network": network._asdict(),
    }
