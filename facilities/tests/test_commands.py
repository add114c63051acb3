"""create_source and replay, over the real REST API."""

from __future__ import annotations

import stat
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from facilities.ingest.auth import authenticate
from facilities.ingest.errors import IngestError
from facilities.management.commands.replay import read_rows
from facilities.models import Point, Reading, Source


@pytest.mark.django_db
def test_it_shows_a_token_once_and_stores_its_hash():
    out = StringIO()
    call_command("create_source", "bms", stdout=out, stderr=StringIO())
    token = out.getvalue().strip()
    assert token.startswith("hp_")
    assert len(token) == 46
    source = Source.objects.get()
    assert token not in (source.token_hash, source.token_prefix)
    assert authenticate(token).source_id == source.pk


@pytest.mark.django_db
def test_it_writes_a_token_file_for_its_owner_only(tmp_path):
    path = tmp_path / "secrets" / "token"
    call_command("create_source", "bms", "--token-file", str(path), stdout=StringIO())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    old = path.read_text().strip()
    with pytest.raises(CommandError, match="add --rotate"):
        call_command("create_source", "bms", "--token-file", str(path))
    call_command("create_source", "bms", "--rotate", "--token-file", str(path), stdout=StringIO())
    assert authenticate(path.read_text().strip()).name == "bms"
    with pytest.raises(IngestError):
        authenticate(old)


def csv(tmp_path: Path, text: str) -> str:
    path = tmp_path / "series.csv"
    path.write_text(text)
    return str(path)


@pytest.fixture
def token_file(tmp_path, token) -> str:
    path = tmp_path / "token"
    path.write_text(token + "\n")
    return str(path)


@pytest.mark.django_db(transaction=True)
def test_it_replays_a_series_over_http(live_server, tmp_path, token_file, clean_readings):
    rows = "".join(f"2014-02-14 14:{m:02}:00,{20 + m}\n" for m in range(30))
    out = StringIO()
    call_command(
        "replay",
        csv(tmp_path, "timestamp,value\n" + rows),
        "--point=rack-a.inlet_c",
        "--speed=3000",
        f"--url={live_server.url}",
        f"--token-file={token_file}",
        stdout=out,
    )
    assert "30 accepted, 0 rejected" in out.getvalue()
    assert list(Reading.objects.order_by("ts").values_list("value", flat=True)) == [
        20.0 + m for m in range(30)
    ]


@pytest.mark.django_db(transaction=True)
def test_it_says_why_nothing_was_taken(live_server, tmp_path, token_file, clean_readings):
    path = csv(tmp_path, "timestamp,value\n2014-02-14 14:00:00,500\n")
    arguments = [path, "--speed=1000", f"--url={live_server.url}"]
    with pytest.raises(CommandError, match="above its range"):
        call_command(
            "replay",
            *arguments,
            "--point=rack-a.inlet_c",
            f"--token-file={token_file}",
            verbosity=0,
            stderr=StringIO(),
        )
    wrong = tmp_path / "wrong"
    wrong.write_text("hp_nothing")
    with pytest.raises(CommandError, match="401"):
        call_command(
            "replay", *arguments, "--point=rack-a.inlet_c", f"--token-file={wrong}", verbosity=0
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns must be timestamp,value; found nothing"),
        ("a,b\n1,2\n", "found a, b"),
        ("timestamp,value\n", "has no rows"),
        ("timestamp,value\nnoon,1\n", "line 2"),
        ("timestamp,value\n2014-02-14 14:00:00,x\n", "line 2"),
    ],
)
def test_it_names_what_is_wrong_with_a_file(tmp_path, text, message):
    with pytest.raises(CommandError, match=message):
        read_rows(Path(csv(tmp_path, text)))


def test_it_starts_at_the_first_row(tmp_path):
    text = "timestamp,value\n2014-02-14 14:05:00,2\n2014-02-14 14:00:00,1\n"
    assert read_rows(Path(csv(tmp_path, text))) == [(0.0, 1.0), (300.0, 2.0)]


@pytest.mark.django_db
def test_it_creates_a_source_with_everything_on_one_line():
    call_command(
        "create_source",
        "gpu agent",
        "--auto-register",
        "--network=10.0.0.0/8",
        "--max-readings-per-s=500",
        "--heartbeat=60",
        "--expires=2099-01-01T00:00Z",
        "--map=dcgm_exporter",
        stdout=StringIO(),
        stderr=StringIO(),
    )
    source = Source.objects.get()
    assert (source.auto_register, source.allowed_networks) == (True, ["10.0.0.0/8"])
    assert (source.max_readings_per_s, source.heartbeat_timeout_s) == (500, 60)
    assert source.expires_at is not None
    assert source.converter.document == "use: [dcgm_exporter]\n"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--network=10.0.0.1/8", "has host bits set"),
        ("--expires=tomorrow", "tomorrow"),
        ("--expires=2099-01-01", "no time zone"),
        ("--map=ghost", "there is no map 'ghost'"),
        ("--heartbeat=1", "greater than or equal"),
    ],
)
def test_it_creates_nothing_from_a_wrong_option(option, message):
    with pytest.raises(CommandError, match=message):
        call_command("create_source", "agent", option, stdout=StringIO(), stderr=StringIO())
    assert not Source.objects.exists()


@pytest.mark.django_db
def test_it_exports_and_imports_the_data_list(small_facility, tmp_path):
    path = tmp_path / "points.yaml"
    call_command("export_points", "--format=yaml", "--output", str(path))
    out = StringIO()
    path.write_text(path.read_text().replace("unit: Cel", "unit: K", 1))
    call_command("import_points", str(path), "--dry-run", stdout=out)
    assert "unit: 'Cel' → 'K'" in out.getvalue()
    assert not Point.objects.filter(unit="K").exists()
    call_command("import_points", str(path), stdout=StringIO())
    assert Point.objects.filter(unit="K").count() == 1
    path.write_text("points: [{tag: nobody.knows, unit: Cel}]")
    with pytest.raises(CommandError, match="asset nobody is not in the facility"):
        call_command("import_points", str(path), stdout=StringIO())
