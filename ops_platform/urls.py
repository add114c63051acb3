"""Every URL: each room owns its own pages and API, this file mounts them."""

from csp.decorators import csp_update
from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import IsAuthenticated

from ops_platform import health
from ops_platform.pages import demo, engine, metrics, overview
from ops_platform.pages.counts import counts
from ops_platform.sign_in import SignInForm

# The console's widgets (Alpine.js inside django-unfold) need inline code; no other page does.
_console = csp_update(
    {"script-src": ["'unsafe-inline'", "'unsafe-eval'"], "style-src": ["'unsafe-inline'"]}
)


def _relaxed_admin() -> tuple[list[URLPattern | URLResolver], str, str]:
    urls, app_name, namespace = admin.site.urls
    for pattern in urls:
        if isinstance(pattern, URLPattern) and pattern.callback is not None:
            pattern.callback = _console(pattern.callback)
        elif isinstance(pattern, URLResolver):
            for inner in pattern.url_patterns:
                if isinstance(inner, URLPattern) and inner.callback is not None:
                    inner.callback = _console(inner.callback)
    return urls, app_name, namespace


urlpatterns = [
    path("", overview.page, name="overview"),
    path("engine/", engine.page, name="engine"),
    path("plant/", demo.page, name="plant"),
    path("plant/faults", demo.fault, name="plant-fault"),
    path("", include("facilities.urls")),
    path("", include("rag.urls")),
    path("", include("approvals.urls")),
    path("api/v1/", include("facilities.api_urls")),
    path("api/v1/", include("rag.api_urls")),
    path("api/v1/", include("approvals.api_urls")),
    path("api/v1/platform/counts", counts, name="platform-counts"),
    path("api/v1/engine/<int:number>/", engine.report, name="engine-report"),
    path(
        "api/schema/",
        SpectacularAPIView.as_view(permission_classes=[IsAuthenticated]),
        name="schema",
    ),
    path(
        "api/docs/",
        csp_update({"style-src": ["'unsafe-inline'"]})(
            SpectacularSwaggerSplitView.as_view(
                url_name="schema", permission_classes=[IsAuthenticated]
            )
        ),
        name="api-docs",
    ),
    path(
        "login/",
        auth.LoginView.as_view(
            template_name="ops_platform/login.html", authentication_form=SignInForm
        ),
        name="login",
    ),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("favicon.ico", RedirectView.as_view(url="/static/img/holdpoint.svg", permanent=True)),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("metrics", metrics.export, name="metrics"),
    path("admin/", _relaxed_admin()),
]
handler403 = "ops_platform.pages.errors.forbidden"
handler404 = "ops_platform.pages.errors.not_found"
handler500 = "ops_platform.pages.errors.server_error"
