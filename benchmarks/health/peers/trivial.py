"""The baseline: a Flask route that does nothing."""

from __future__ import annotations

from flask import Flask


def application() -> Flask:
    app = Flask("trivial")

    @app.get("/")
    def show() -> dict[str, str]:
        return {"status": "ok"}

    return app
