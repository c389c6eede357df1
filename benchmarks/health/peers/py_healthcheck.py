"""py-healthcheck as its README shows it: results kept for 27 s, no time-out
(its own works in the main thread only).
"""

from __future__ import annotations

from flask import Flask
from healthcheck import HealthCheck

from benchmarks.health.peers.checking import ask_the_database, write_a_file


def disk_writable() -> tuple[bool, str]:
    write_a_file()
    return True, "writable"


def database_answers() -> tuple[bool, str]:
    ask_the_database()
    return True, "answers"


def application() -> Flask:
    app = Flask("py_healthcheck")
    health = HealthCheck(checkers=[disk_writable, database_answers])
    app.add_url_rule("/healthcheck", "healthcheck", view_func=health.run)
    return app
