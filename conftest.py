"""Fixtures that every room's tests share: people with roles, the demo facility, real services."""

import functools
import gc
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.test import Client

from ops_platform.testing_database import MigratedOnce

if TYPE_CHECKING:
    from ops_platform.models import User


LONGEST_FIRST = ("browser", "kvserve", "rag")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest groups first."""
    ranks = {group: rank for rank, group in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(_group(item.nodeid), len(ranks)))


def pytest_collection_finish() -> None:
    """What is there by now stays: the garbage collector need not go through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep on one worker what shares an expensive fixture: one stack and browser, one engine.

    (xdist's own groups are marks that it writes into node ids, which pytest 9.2 no longer allows.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    config.option.loadscopereorder = False  # by number of tests
    return ByGroup(config, log)


def _group(nodeid: str) -> str:
    path = nodeid.partition("::")[0]
    folders = path.split("/")
    if "browser" in folders:
        return "browser"
    return folders[0] if folders[0] in ("kvserve", "rag") else path


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Hash test passwords quickly: the real hasher takes a third of a second for each person."""
    from django.test import override_settings

    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def _static_files_on_demand() -> Iterator[None]:
    """Where `staticfiles` is there, WhiteNoise lists all of it anew for each test's client."""
    from django.test import override_settings

    with override_settings(WHITENOISE_AUTOREFRESH=True):
        yield


@pytest.fixture(scope="session", autouse=True)
def _root_certificates_read_once() -> Iterator[None]:
    """httpx reads them anew for each client, 30 ms of CPU every time, for addresses without TLS too.

    Clients with certificates or trust of their own still get a context of their own.
    """
    from httpx._transports import default

    read, kept = default.create_ssl_context, functools.cache(default.create_ssl_context)

    def create(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        make = kept if verify is True and cert is None else read
        return make(verify=verify, cert=cert, trust_env=trust_env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "create_ssl_context", create)
        yield


@pytest.fixture(autouse=True)
def _own_channel_layer() -> Iterator[None]:
    """A channel layer of the test's own: each test has an event loop of its own, and a layer that
    a socket of another loop still waits on refuses this one's."""
    from channels.layers import channel_layers

    channel_layers.backends.clear()
    yield
    channel_layers.backends.clear()


@pytest.fixture(autouse=True)
def _own_hub_switch() -> Iterator[None]:
    """A model that loads in this process keeps it off the hub; that ends with the test."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


DEMO_FACILITY = Path(__file__).parent / "facilities" / "demo" / "facility.yaml"


def _person(role: str) -> "User":
    from django.contrib.auth.models import Group

    from ops_platform.models import User
    from ops_platform.roles import assign_role, sync_roles

    if not Group.objects.filter(name=role, permissions__isnull=False).exists():
        sync_roles()  # a transactional test before this one may have emptied the tables
    user = User.objects.create_user(role, password="correct-horse-battery")
    assign_role(user, role)
    return User.objects.get(pk=user.pk)


@pytest.fixture
def viewer(db: None) -> "User":
    return _person("viewer")


@pytest.fixture
def operator(db: None) -> "User":
    return _person("operator")


@pytest.fixture
def supervisor(db: None) -> "User":
    return _person("supervisor")


@pytest.fixture
def admin(db: None) -> "User":
    return _person("admin")


@pytest.fixture
def client_as() -> Callable[["User"], Client]:
    """Return a function that gives a client signed in as the user."""

    def sign_in(user: "User") -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture(scope="session")
def demo_document() -> Any:
    """The demo facility's file, read and checked once a run: parsing takes longer than loading."""
    from facilities.loader.checks import check
    from facilities.loader.document import read_document
    from facilities.loader.problems import Problems

    problems = Problems()
    document = read_document(DEMO_FACILITY, problems)
    check(document, problems)
    problems.raise_if_any()
    return document


@pytest.fixture(scope="session")
def _demo_rows() -> dict[str, bytes]:
    """The loaded demo facility by table, in PostgreSQL's binary form; filled at first use."""
    return {}


@pytest.fixture
def demo_facility(db: None, demo_document: Any, _demo_rows: dict[str, bytes]) -> None:
    """The demo facility, loaded as `make run` does. After the first time its rows are copied back,
    which takes a fraction of the time."""
    from facilities.loader.apply import apply
    from facilities.loader.problems import Problems

    empty = _empty_tables()
    if _demo_rows and empty.issuperset(_demo_rows):
        _copy_in(_demo_rows)
        return
    apply(demo_document, Problems(), prune=False)
    if not _demo_rows and "facilities_site" in empty:
        _demo_rows.update(_copy_out(sorted(empty - _empty_tables())))


def _empty_tables() -> set[str]:
    """Those of the loader's tables that hold nothing. (Triggers fill others.)"""
    from django.db import connection

    from facilities import models

    written = (
        models.Site, models.Hall, models.Rack, models.Asset, models.AssetLink, models.Point,
        models.AlarmRule, models.RedundancyGroup, models.RedundancyGroup.points.through,
    )  # fmt: skip
    tables = [model._meta.db_table for model in written]
    columns = ", ".join(f'EXISTS (SELECT FROM "{table}")' for table in tables)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns}")
        return {table for table, found in zip(tables, cursor.fetchone(), strict=True) if not found}


def _copy_out(tables: list[str]) -> dict[str, bytes]:
    from django.db import connection

    rows: dict[str, bytes] = {}
    with connection.cursor() as cursor:
        for table in tables:
            with cursor.copy(f'COPY "{table}" TO STDOUT (FORMAT binary)') as copy:
                rows[table] = b"".join(bytes(chunk) for chunk in copy)
    return rows


def _copy_in(rows: dict[str, bytes]) -> None:
    """Foreign keys are deferred, so the tables' order is no matter."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        for table, data in rows.items():
            with cursor.copy(f'COPY "{table}" FROM STDIN (FORMAT binary)') as copy:
                copy.write(data)
        numbered = ", ".join(
            f"setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM \"{table}\"))"
            for table in rows
        )
        cursor.execute(f"SELECT {numbered}")


@pytest.fixture(scope="session")
def kvserve_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real engine with the bundled model, one process per run; settings point to it."""
    from kvserve.testing import start_server

    with start_server(settings.DATA_DIR, settings.CONFIG.ports.kvserve) as url:
        yield url


# Every enabled trigger that refuses TRUNCATE (32 is its bit of pg_trigger.tgtype).
_MAY_FLUSH = """
DO $$ DECLARE kept record;
BEGIN
  FOR kept IN SELECT tgrelid::regclass AS name, tgname FROM pg_trigger
              WHERE tgtype & 32 <> 0 AND tgenabled <> 'D' LOOP
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', kept.name, kept.tgname);
  END LOOP;
END $$
"""


@pytest.fixture(scope="session")
def _migrated_once(tmp_path_factory: pytest.TempPathFactory) -> MigratedOnce | None:
    """What one of several parallel workers does for all; None where there is one process."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return None
    return MigratedOnce(tmp_path_factory.getbasetemp().parent)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings: None, _migrated_once: MigratedOnce | None
) -> None:
    """Called by pytest-django before it makes the test database."""
    if _migrated_once is not None:
        _migrated_once.begin()


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: Any, _migrated_once: MigratedOnce | None
) -> Iterator[None]:
    """Transactional tests empty every table with TRUNCATE, which tables of evidence refuse.

    Those triggers are switched off in the test database only; tests that prove them switch them on.
    """
    from django.db import connection

    with django_db_blocker.unblock():
        if _migrated_once is not None:
            _migrated_once.end()
        with connection.cursor() as cursor:
            cursor.execute(_MAY_FLUSH)
    yield
    if _migrated_once is not None:
        with django_db_blocker.unblock():
            _migrated_once.forget()


@pytest.fixture(autouse=True)
def _may_flush_again(request: pytest.FixtureRequest) -> Iterator[None]:
    """Off again after a transactional test that switched them on, before its tables are emptied."""
    marker = request.node.get_closest_marker("django_db")
    commits = marker is not None and marker.kwargs.get("transaction")
    if not commits and "transactional_db" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("_django_db_helper")
    yield
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(_MAY_FLUSH)
