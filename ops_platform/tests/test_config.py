"""OPS_* variables: typed, `_FILE` variants, embedded when unset, contradictions named."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from ops_platform.checks import check_config
from ops_platform.config import load


def test_it_runs_embedded_when_nothing_is_set(tmp_path: Path) -> None:
    config = load({"OPS_DATA_DIR": str(tmp_path)})
    assert (config.embedded_database, config.embedded_redis, config.embedded_llm) == (True,) * 3
    assert config.demo_mode
    assert config.llm_urls == ["http://127.0.0.1:8100"]
    assert check_config(config) == []


def test_it_derives_every_port_from_the_web_port(tmp_path: Path) -> None:
    ports = load({"OPS_DATA_DIR": str(tmp_path), "OPS_PORT": "9000"}).ports
    assert (ports.web, ports.kvserve) == (9000, 9100)
    assert len({ports.web, ports.kvserve, ports.postgres, ports.redis, ports.plant}) == 5


def test_it_finds_the_port_of_the_running_stack(tmp_path: Path) -> None:
    (tmp_path / "runtime.json").write_text('{"port": 9400}')
    assert load({"OPS_DATA_DIR": str(tmp_path)}).ports.web == 9400


def test_it_reads_secrets_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("from-a-file\n")
    config = load({"OPS_DATA_DIR": str(tmp_path), "OPS_SECRET_KEY_FILE": str(secret)})
    assert config.secret_key == "from-a-file"


def test_it_takes_several_llm_urls_in_order(tmp_path: Path) -> None:
    config = load({"OPS_DATA_DIR": str(tmp_path), "OPS_LLM_URL": "http://a:1/v1, http://b:2/"})
    assert config.llm_urls == ["http://a:1", "http://b:2"]
    assert config.embed_urls == config.llm_urls
    assert not config.embedded_llm
    assert not config.demo_mode


def test_it_names_a_value_of_the_wrong_type(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="eighty"):
        load({"OPS_DATA_DIR": str(tmp_path), "OPS_PORT": "eighty"})


@pytest.mark.parametrize(
    ("variables", "identifier"),
    [
        ({"OPS_DATABASE_URL": "postgresql://u:p@db/x"}, "ops.E001"),
        (
            {"OPS_DATABASE_URL": "postgresql://u:p@db/x", "OPS_SECRET_KEY": "k", "OPS_DEBUG": "1"},
            "ops.W001",
        ),
        ({"OPS_LLM_URL": "llm-1:8100"}, "ops.E002"),
        ({"OPS_LOG_FORMAT": "xml"}, "ops.E003"),
        ({"OPS_ALLOWED_HOSTS": "*"}, "ops.W002"),
    ],
)
def test_it_checks_for_contradictions(
    tmp_path: Path, variables: dict[str, str], identifier: str
) -> None:
    found = check_config(load({"OPS_DATA_DIR": str(tmp_path), **variables}))
    assert [message.id for message in found] == [identifier]
    assert found[0].hint
