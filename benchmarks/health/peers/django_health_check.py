"""django-health-check 4 as its documentation shows it: its view over its own
checks, here under WSGI.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

from benchmarks.health.peers.checking import PLACE, hang_while_told

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

CHECKS = (
    "health_check.checks.Database",
    "health_check.checks.Storage",
    "health_check.contrib.psutil.Disk",
    "health_check.contrib.psutil.Memory",
)


def application() -> WSGIApplication:
    settings.configure(
        SECRET_KEY="benchmark",  # noqa: S106  nothing is signed with it
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["health_check"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(PLACE / "django.sqlite3"),
            }
        },
        MEDIA_ROOT=str(PLACE / "media"),
        LOGGING_CONFIG=None,
    )
    django.setup()
    urlpatterns.append(path("ht/", _view()))
    application: WSGIApplication = get_wsgi_application()
    return application


def _view() -> object:
    # Importable only once Django is set up.
    from health_check.base import HealthCheck
    from health_check.views import HealthCheckView

    @dataclasses.dataclass
    class HangsWhileTold(HealthCheck):  # type: ignore[misc]  # it brings no types
        def run(self) -> None:
            hang_while_told()

    return HealthCheckView.as_view(checks=[*CHECKS, HangsWhileTold])


urlpatterns: list[object] = []
