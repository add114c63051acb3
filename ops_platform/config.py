"""Typed configuration from `OPS_*` variables; what is unset means the embedded service."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

BASE_DIR = Path(__file__).resolve().parent.parent
DEFAULT_PORT = 8000
LLM_ANSWERS = ("auto", "quote", "write")
SEARCH_LOGS = ("hash", "text", "off")
STORE_LAYOUTS = ("partitions", "timescaledb", "citus")

#: Every variable the product reads, with the sentence that README's table shows.
VARIABLES: dict[str, str] = {
    "OPS_DATA_DIR": "Folder for embedded services, models, logs and secrets (default `var/`).",
    "OPS_DATABASE_URL": "PostgreSQL with pgvector, `postgresql://user:pw@host/db`. Unset: embedded.",
    "OPS_REDIS_URL": "Redis, `redis://:pw@host:6379/0`. Unset: embedded.",
    "OPS_LLM_URL": "OpenAI-compatible servers, comma separated, tried in order. Unset: embedded kvserve.",
    "OPS_LLM_MODEL": "Model name asked for (default: the first one that the server lists).",
    "OPS_LLM_ANSWERS": "Answers lead with the model's words (`write`) or the documents' (`quote`); `auto` measures.",
    "OPS_ENERGY_PRICE": "Price of a kilowatt-hour, such as `0.28 EUR`, for the engine page (default: no cost shown).",
    "OPS_EMBED_URL": "OpenAI-compatible embedding servers (default: the same as OPS_LLM_URL).",
    "OPS_RERANK_URL": "Servers with `/v1/rerank`, comma separated (default: kvserve with OPS_RERANK_MODEL).",
    "OPS_RERANK_MODEL": "Cross-encoder: a saved folder, or its name at OPS_RERANK_URL (default: none).",
    "OPS_SECRET_KEY": "Django's signing key; required in production.",
    "OPS_ALLOWED_HOSTS": "Comma-separated host names that the web process answers to.",
    "OPS_DEBUG": "`true` shows tracebacks in the browser; never in production.",
    "OPS_HTTPS": "`true` behind TLS: secure cookies, HSTS, forwarded-proto header trusted.",
    "OPS_LOG_FORMAT": "`json` (default) or `text`.",
    "OPS_DEMO_MODE": "`true` shows the demo-plant page (default: true when everything is embedded).",
    "OPS_PLANT_URL": "Demo plant that executes approved setpoints. Unset: embedded.",
    "OPS_PLANT_TOKEN": "Bearer token for the plant's own API.",
    "OPS_DRIVER_SECRETS": 'Keys and passwords of driver bindings, JSON `{"name": "secret"}` (docs/drivers.md).',
    "OPS_PORT": "Port of the web process; children take ports derived from it (default 8000).",
    "OPS_PROPOSAL_TTL_S": "Seconds that a proposal waits for a signature (default 900).",
    "OPS_AGENT_PATROL_S": "Seconds between the agent's scheduled looks; 0: none (default 900).",
    "OPS_EFFECT_WINDOW_S": "Seconds after an action in which its effect is measured (default 120).",
    "OPS_RETENTION_DAYS": "Days that raw readings are kept (default 400).",
    "OPS_RETENTION_1M_DAYS": "Days that rollups by minute are kept (default 800).",
    "OPS_RETENTION_1H_DAYS": "Days that rollups by hour are kept (default 3650).",
    "OPS_STORE_LAYOUT": "`partitions` (default), `timescaledb` or `citus`: who splits the readings (docs/store.md).",
    "OPS_SMTP_URL": "Mail server for alarms, `smtp://user:pw@host:587` (STARTTLS), `smtps://…` or `smtp+plain://…`.",
    "OPS_MAIL_FROM": "Sender of mails (default `holdpoint@localhost`).",
    "OPS_PUBLIC_URL": "Address of this installation as people open it, for links in messages.",
    "OPS_WEBHOOK_PRIVATE": "`true` lets webhooks go to private and loopback addresses (default false).",
    "OPS_WATCH_DIR": "Folder whose files become documents, `<dir>/<collection>/[<kind>/]file` (default: none).",
    "OPS_SEARCH_LOG": "How a search of the documents is logged: `hash` of the question (default), `text`, or `off`.",
    "OPS_MAX_INGEST_BYTES": "Largest body of one push, bytes, after decompression (default 10 MiB).",
}


@dataclass(frozen=True)
class Ports:
    """The ports of one stack, all derived from the web port."""

    web: int

    @property
    def kvserve(self) -> int:
        return self.web + 100

    @property
    def postgres(self) -> int:
        return self.web + 101

    @property
    def redis(self) -> int:
        return self.web + 102

    @property
    def plant(self) -> int:
        return self.web + 103


class EnergyPrice(NamedTuple):
    """What a kilowatt-hour costs; the currency is text that follows the number."""

    per_kwh: float
    currency: str


class Smtp(NamedTuple):
    """A mail server; an empty host means none is set."""

    host: str = ""
    port: int = 25
    username: str = ""
    password: str = ""
    starttls: bool = False
    tls: bool = False


@dataclass(frozen=True)
class Config:
    """Everything that the environment decides, parsed once."""

    data_dir: Path
    database_url: str
    redis_url: str
    llm_urls: list[str]
    llm_model: str
    llm_answers: str
    embed_urls: list[str]
    rerank_urls: list[str]
    rerank_model: str
    secret_key: str
    allowed_hosts: list[str]
    debug: bool
    https: bool
    log_format: str
    demo_mode: bool
    plant_url: str
    plant_token: str
    driver_secrets: dict[str, str]
    ports: Ports
    proposal_ttl_s: int
    effect_window_s: int
    agent_patrol_s: int
    retention_days: int
    retention_1m_days: int
    retention_1h_days: int
    store_layout: str
    max_ingest_bytes: int
    energy_price: EnergyPrice | None
    smtp: Smtp
    mail_from: str
    public_url: str
    webhook_private: bool
    watch_dir: Path | None
    search_log: str
    embedded_database: bool
    embedded_redis: bool
    embedded_llm: bool
    secret_key_is_ephemeral: bool

    @property
    def reranker_folder(self) -> Path | None:
        """The folder that OPS_RERANK_MODEL names, or None where it is a name or unset."""
        folder = Path(self.rerank_model).resolve() if self.rerank_model else None
        return folder if folder and folder.is_dir() else None

    @property
    def reranker_name(self) -> str:
        """What a reranker is asked for by; kvserve answers to its folder's name."""
        return self.reranker_folder.name if self.reranker_folder else self.rerank_model


def read_secret(data_dir: Path, name: str) -> str:
    """Return a secret that `up` generated under `DATA_DIR/secrets`, or an empty string."""
    path = data_dir / "secrets" / name
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _recorded_port(data_dir: Path) -> int:
    """The web port of the stack that runs (or last ran) over this data folder."""
    try:
        return int(json.loads((data_dir / "runtime.json").read_text())["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT_PORT


def _rerank_urls(env: environ.Env, own: list[str]) -> list[str]:
    """The rerankers; the embedded kvserve where OPS_RERANK_MODEL is a folder it can load."""
    urls = _urls(env.str("OPS_RERANK_URL", default=""))
    model = env.str("OPS_RERANK_MODEL", default="").strip()
    return urls or (own if model and Path(model).is_dir() else [])


def _urls(raw: str) -> list[str]:
    return [part.strip().rstrip("/").removesuffix("/v1") for part in raw.split(",") if part.strip()]


def _energy_price(raw: str) -> EnergyPrice | None:
    number, _, currency = raw.strip().partition(" ")
    if not number:
        return None
    price = float(number)
    if not 0 <= price < float("inf"):
        raise ValueError(f"OPS_ENERGY_PRICE is '{raw}', which is no price")
    return EnergyPrice(price, currency.strip())


def _folder(raw: str) -> Path | None:
    return Path(raw.strip()).expanduser().resolve() if raw.strip() else None


def _store_layout(raw: str) -> str:
    if raw not in STORE_LAYOUTS:
        raise ValueError(f"OPS_STORE_LAYOUT is '{raw}', not one of {', '.join(STORE_LAYOUTS)}")
    return raw


def _search_log(raw: str) -> str:
    if raw not in SEARCH_LOGS:
        raise ValueError(f"OPS_SEARCH_LOG is '{raw}'; choose one of {', '.join(SEARCH_LOGS)}")
    return raw


def _llm_answers(raw: str) -> str:
    if raw not in LLM_ANSWERS:
        raise ValueError(f"OPS_LLM_ANSWERS is '{raw}'; choose one of {', '.join(LLM_ANSWERS)}")
    return raw


def _driver_secrets(raw: str) -> dict[str, str]:
    if not raw.strip():
        return {}
    try:
        found = json.loads(raw)
    except ValueError:
        found = None  # the message must not repeat what may be a secret
    if not isinstance(found, dict) or not all(isinstance(item, str) for item in found.values()):
        raise ImproperlyConfigured(
            'OPS_DRIVER_SECRETS is not a JSON object of texts, such as {"bms": "whsec_…"}'
        )
    return found


def _smtp(raw: str) -> Smtp:
    """``smtp`` upgrades by STARTTLS, ``smtps`` is TLS from the start, ``smtp+plain`` neither."""
    if not raw.strip():
        return Smtp()
    parts = urlsplit(raw.strip())
    ports = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
    if parts.scheme not in ports or not parts.hostname:
        raise ValueError("OPS_SMTP_URL must be smtp://HOST, smtps://HOST or smtp+plain://HOST")
    return Smtp(
        parts.hostname,
        parts.port or ports[parts.scheme],
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        parts.scheme == "smtp",
        parts.scheme == "smtps",
    )


def load(environment: Mapping[str, str]) -> Config:
    """Parse `environment`; raises ImproperlyConfigured naming the variable that is wrong."""
    env = environ.Env()
    env.ENVIRON = FileAwareMapping(env=dict(environment))
    try:
        data_dir = Path(env.str("OPS_DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
        ports = Ports(env.int("OPS_PORT", default=_recorded_port(data_dir)))
        database_url = env.str("OPS_DATABASE_URL", default="").strip()
        redis_url = env.str("OPS_REDIS_URL", default="").strip()
        llm_urls = _urls(env.str("OPS_LLM_URL", default=""))
        embedded = (not database_url, not redis_url, not llm_urls)
        secret_key = env.str("OPS_SECRET_KEY", default="").strip() or read_secret(
            data_dir, "django-key"
        )
        llm_default = [f"http://127.0.0.1:{ports.kvserve}"]
        return Config(
            data_dir=data_dir,
            database_url=database_url
            or f"postgresql://holdpoint:{quote(read_secret(data_dir, 'postgres'))}"
            f"@127.0.0.1:{ports.postgres}/holdpoint",
            redis_url=redis_url
            or f"redis://:{quote(read_secret(data_dir, 'redis'))}@127.0.0.1:{ports.redis}/0",
            llm_urls=llm_urls or llm_default,
            llm_model=env.str("OPS_LLM_MODEL", default=""),
            llm_answers=_llm_answers(env.str("OPS_LLM_ANSWERS", default="auto")),
            embed_urls=_urls(env.str("OPS_EMBED_URL", default="")) or llm_urls or llm_default,
            rerank_urls=_rerank_urls(env, llm_default if embedded[2] else []),
            rerank_model=env.str("OPS_RERANK_MODEL", default="").strip(),
            secret_key=secret_key or secrets.token_urlsafe(48),
            allowed_hosts=env.list(
                "OPS_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"]
            ),
            debug=env.bool("OPS_DEBUG", default=False),
            https=env.bool("OPS_HTTPS", default=False),
            log_format=env.str("OPS_LOG_FORMAT", default="json"),
            demo_mode=env.bool("OPS_DEMO_MODE", default=all(embedded)),
            plant_url=env.str("OPS_PLANT_URL", default="")
            or (f"http://127.0.0.1:{ports.plant}" if embedded[0] else ""),
            plant_token=env.str("OPS_PLANT_TOKEN", default="").strip()
            or read_secret(data_dir, "plant-api"),
            driver_secrets=_driver_secrets(env.str("OPS_DRIVER_SECRETS", default="")),
            ports=ports,
            proposal_ttl_s=env.int("OPS_PROPOSAL_TTL_S", default=900),
            effect_window_s=env.int("OPS_EFFECT_WINDOW_S", default=120),
            agent_patrol_s=env.int("OPS_AGENT_PATROL_S", default=900),
            retention_days=env.int("OPS_RETENTION_DAYS", default=400),
            retention_1m_days=env.int("OPS_RETENTION_1M_DAYS", default=800),
            retention_1h_days=env.int("OPS_RETENTION_1H_DAYS", default=3650),
            store_layout=_store_layout(env.str("OPS_STORE_LAYOUT", default="partitions")),
            max_ingest_bytes=env.int("OPS_MAX_INGEST_BYTES", default=10 * 1024 * 1024),
            energy_price=_energy_price(env.str("OPS_ENERGY_PRICE", default="")),
            smtp=_smtp(env.str("OPS_SMTP_URL", default="")),
            mail_from=env.str("OPS_MAIL_FROM", default="") or "holdpoint@localhost",
            public_url=env.str("OPS_PUBLIC_URL", default="").rstrip("/"),
            webhook_private=env.bool("OPS_WEBHOOK_PRIVATE", default=False),
            watch_dir=_folder(env.str("OPS_WATCH_DIR", default="")),
            search_log=_search_log(env.str("OPS_SEARCH_LOG", default="hash")),
            embedded_database=embedded[0],
            embedded_redis=embedded[1],
            embedded_llm=embedded[2],
            secret_key_is_ephemeral=not secret_key,
        )
    except ValueError as error:
        raise ImproperlyConfigured(
            f"an OPS_* variable has a value of the wrong type: {error}"
        ) from error
    except OSError as error:
        raise ImproperlyConfigured(f"a file named by an OPS_*_FILE variable: {error}") from error
