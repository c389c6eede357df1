"""flask-healthz as its README shows it: a blueprint, and functions that raise."""

from __future__ import annotations

from flask import Flask
from flask_healthz import Healthz

from benchmarks.health.peers.checking import ask_the_database, write_a_file


def ready() -> None:
    write_a_file()
    ask_the_database()


def application() -> Flask:
    app = Flask("flask_healthz_peer")
    app.config["HEALTHZ"] = {"live": lambda: None, "ready": ready}
    Healthz(app, no_log=True)
    return app
