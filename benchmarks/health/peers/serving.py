"""Serve one peer as our gateway is served: `python -m
benchmarks.health.peers.serving NAME PORT`.
"""

from __future__ import annotations

import sys

from gpt_cursor_runner.gateway.serve import serve

# name: (module, path of its answer)
PEERS = {
    "trivial": ("trivial", "/"),
    "naive": ("naive", "/health"),
    "django-health-check": ("django_health_check", "/ht/?format=json"),
    "flask-healthz": ("flask_healthz_peer", "/healthz/ready"),
    "py-healthcheck": ("py_healthcheck", "/healthcheck"),
}


def main(name: str, port: int) -> None:
    module, _ = PEERS[name]
    serve(f"benchmarks.health.peers.{module}:application", "127.0.0.1", port)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
