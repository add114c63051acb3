"""Django settings; everything that differs between machines comes from `config.py`."""

import os
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from django.urls import reverse_lazy

from ops_platform.config import BASE_DIR, load
from ops_platform.roles import ROLES

CONFIG = load(os.environ)

VERSION = next(
    line.split()[1].strip("[]")
    for line in (BASE_DIR / "CHANGELOG.md").read_text().splitlines()
    if line.startswith("## ")
)

SECRET_KEY = CONFIG.secret_key
DEBUG = CONFIG.debug
ALLOWED_HOSTS = [*CONFIG.allowed_hosts, "127.0.0.1"]  # a container's own health check
DATA_DIR: Path = CONFIG.data_dir
REDIS_URL = CONFIG.redis_url
LLM_URLS = CONFIG.llm_urls
LLM_MODEL = CONFIG.llm_model
LLM_ANSWERS = CONFIG.llm_answers
EMBED_URLS = CONFIG.embed_urls
RERANK_URLS = CONFIG.rerank_urls
RERANK_MODEL = CONFIG.reranker_name
EMBED_MODEL = "all-MiniLM-L6-v2"
PLANT_URL = CONFIG.plant_url
PLANT_TOKEN = CONFIG.plant_token
DRIVER_SECRETS = CONFIG.driver_secrets
DEMO_MODE = CONFIG.demo_mode
MAX_INGEST_BYTES = CONFIG.max_ingest_bytes
PROPOSAL_TTL_S = CONFIG.proposal_ttl_s
EFFECT_WINDOW_S = CONFIG.effect_window_s
AGENT_PATROL_S = CONFIG.agent_patrol_s
RETENTION_DAYS = CONFIG.retention_days
RETENTION_1M_DAYS = CONFIG.retention_1m_days
RETENTION_1H_DAYS = CONFIG.retention_1h_days
STORE_LAYOUT = CONFIG.store_layout
ENERGY_PRICE = CONFIG.energy_price
SMTP = CONFIG.smtp
MAIL_FROM = CONFIG.mail_from
PUBLIC_URL = CONFIG.public_url
WEBHOOK_PRIVATE = CONFIG.webhook_private
WATCH_DIR = CONFIG.watch_dir
SEARCH_LOG = CONFIG.search_log
ROLE_ORDER = ROLES  # lowest first: who reads a role's documents (rag/access.py)

INSTALLED_APPS = [
    "django_prometheus",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_cotton",
    "csp",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "ops_platform",
    "kvserve",
    "facilities",
    "rag",
    "approvals",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "ops_platform.static_files.StaticFiles",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "approvals.acting.acting_user",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "ops_platform.urls"
ASGI_APPLICATION = "ops_platform.asgi.application"
AUTH_USER_MODEL = "ops_platform.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTHENTICATION_BACKENDS = [
    "approvals.signing.throttle.Throttle",
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_URL = reverse_lazy("login")
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = reverse_lazy("login")
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "ops_platform.pages.context.product",
            ],
            "builtins": ["ops_platform.templatetags.icons"],
        },
    }
]

DATABASES: dict[str, Any] = {
    "default": {
        **dj_database_url.parse(CONFIG.database_url),
        "CONN_HEALTH_CHECKS": True,
        # A pool, because under ASGI every request may run in another thread; the short timeouts
        # turn a lost database into a 503 within seconds instead of a hanging client.
        "OPTIONS": {
            "pool": {"min_size": 1, "max_size": 16, "timeout": 3},
            "connect_timeout": 3,
        },
    }
}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            # The layer waits 5 s at a time for messages; redis-py would give up in that moment.
            "hosts": [{"address": REDIS_URL, "socket_timeout": 15, "socket_connect_timeout": 2}],
            "capacity": 300,
            "expiry": 30,
            "prefix": "hp",
        },
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
    }
}

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "telemetry"
CELERY_TASK_ROUTES = {
    "approvals.tasks.execute_*": {"queue": "actions"},
    "approvals.tasks.*": {"queue": "agent"},
    "rag.tasks.*": {"queue": "knowledge"},
    # Seconds of computing: beside document imports, so that no alarm waits for it.
    "facilities.tasks.run_whatif": {"queue": "knowledge"},
    "facilities.tasks.*": {"queue": "telemetry"},
    "ops_platform.tasks.*": {"queue": "telemetry"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TRACK_STARTED = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
# Redis redelivers an unacknowledged message after this long: a task that a killed worker held.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 60,
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    "max_retries": 1,
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "approvals.outside.rest.AgentAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 100,
    "EXCEPTION_HANDLER": "ops_platform.api_errors.handle",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Holdpoint",
    "DESCRIPTION": "LLMOps for data-centre operations: every AI action waits for a signature.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "AssetKindEnum": "facilities.models.asset.AssetKind",
        "AlarmStateEnum": "facilities.alarms.payload.STATE_CHOICES",
        "AlarmSeverityEnum": "facilities.models.alarm.Severity",
        "RuleKindEnum": "facilities.models.alarm.RuleKind",
        "ChannelKindEnum": "facilities.models.notify.ChannelKind",
        "DeliveryStateEnum": "facilities.models.notify.DeliveryState",
        "DocumentKindEnum": "rag.models.document.Kind",
        "EvaluationKindEnum": "rag.models.evaluation.EvaluationRun.Kind",
        "EvaluationStateEnum": "rag.models.evaluation.EvaluationRun.State",
        "GapKindEnum": "rag.models.growth.Gap.Kind",
        "GapStateEnum": "rag.models.growth.Gap.State",
        "OutcomeReportStateEnum": "rag.models.growth.OutcomeReport.State",
        "RevisionStateEnum": "rag.models.document.RevisionState",
        "ImportStateEnum": "rag.models.job.ImportJob.State",
        "ImportOriginEnum": "rag.models.job.ImportJob.Origin",
        "EmbeddingModelStateEnum": "rag.models.embedding.EmbeddingModel.State",
        "ProposalStateEnum": "approvals.states.ProposalState",
        "RiskEnum": "approvals.states.Risk",
        "DecisionVerdictEnum": "approvals.models.Verdict",
        "EffectVerdictEnum": "approvals.models.EffectVerdict",
        "ReviewVerdictEnum": "approvals.models.ReviewVerdict",
        "WindowKindEnum": "approvals.models.WindowKind",
        "ExecutionOutcomeEnum": "approvals.models.Outcome",
        "InvestigationOutcomeEnum": "approvals.models.InvestigationOutcome",
        "QuarantineStateEnum": "facilities.models.quarantine.QuarantineState",
        "WhatIfStateEnum": "facilities.models.whatif.WhatIfState",
    },
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "SourceToken": {"type": "http", "scheme": "bearer", "description": "create_source"}
        }
    },
}

OTP_TOTP_ISSUER = "Holdpoint"
OTP_ADMIN_HIDE_SENSITIVE_DATA = True
# approvals.signing counts attempts per person, over passwords and codes alike, by the audit trail.
OTP_TOTP_THROTTLE_FACTOR = OTP_STATIC_THROTTLE_FACTOR = 0

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
NODE_MODULES = BASE_DIR / "node_modules"
STATICFILES_DIRS = [
    (f"vendor/{name}", NODE_MODULES / path)
    for name, path in {
        "uplot": "uplot/dist",
        "d3-array": "d3-array/dist",
        "d3-path": "d3-path/dist",
        "d3-shape": "d3-shape/dist",
        "d3-sankey": "d3-sankey/dist",
        "inter": "@fontsource-variable/inter/files",
    }.items()
    if (NODE_MODULES / path).is_dir()
]
WHITENOISE_MAX_AGE = 0  # names carry no hash, so browsers revalidate by ETag
WHITENOISE_USE_FINDERS = DEBUG

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Two stacks on one host share cookies across ports, so each carries its port in the name.
SESSION_COOKIE_NAME = f"holdpoint_session_{CONFIG.ports.web}"
CSRF_COOKIE_NAME = f"holdpoint_csrf_{CONFIG.ports.web}"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CONFIG.https
CSRF_TRUSTED_ORIGINS = [
    f"https://{host}" for host in ALLOWED_HOSTS if CONFIG.https and host not in {"*", "[::1]"}
]
if CONFIG.https:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_INGEST_BYTES

UNFOLD = {
    "SITE_TITLE": "Holdpoint admin",
    "SITE_HEADER": "Holdpoint",
    "SITE_SUBHEADER": "Data-centre operations",
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "BORDER_RADIUS": "6px",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": "{asctime}{levelname}{name}{message}",
            "style": "{",
            "rename_fields": {"asctime": "ts", "levelname": "level", "name": "logger"},
        },
        "text": {"format": "%(levelname)-7s %(name)s: %(message)s"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": CONFIG.log_format}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # uvicorn brings handlers of its own; without them its lines take the root's format.
        **{
            name: {"handlers": [], "propagate": True}
            for name in ("uvicorn", "uvicorn.error", "uvicorn.access")
        },
        "httpx": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "psycopg.pool": {"level": "ERROR"},
        "sentence_transformers": {"level": "WARNING"},
    },
}
