"""docker-compose.yml, .env names and README agree with the settings that the code reads."""

import re
import subprocess
import sys
from typing import Any

import yaml

from ops_platform.celery import QUEUES
from ops_platform.config import BASE_DIR, VARIABLES


def _compose() -> dict[str, Any]:
    return yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())


def test_it_is_valid_by_the_compose_specification() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(BASE_DIR / "docker-compose.yml")),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_sets_only_variables_that_the_settings_read() -> None:
    for name, service in _compose()["services"].items():
        for variable in service.get("environment", {}):
            if variable.startswith("OPS_"):
                assert variable.removesuffix("_FILE") in VARIABLES, f"{name}: {variable}"


def test_it_holds_no_secret() -> None:
    text = (BASE_DIR / "docker-compose.yml").read_text()
    assert not re.search(r"(?i)(password|secret_key|token)\s*[:=]\s*['\"]?[a-z0-9]{6,}", text)
    for secret in _compose()["secrets"].values():
        assert set(secret) == {"file"}


def test_it_runs_every_process_and_consumes_every_queue() -> None:
    services = _compose()["services"]
    assert {"database", "redis", "web", "worker", "beat", "kvserve"} <= set(services)
    commands = " ".join(
        " ".join(service["command"]) for service in services.values() if "command" in service
    )
    consumed = {queue for part in re.findall(r"-Q (\S+)", commands) for queue in part.split(",")}
    assert consumed == set(QUEUES)
    for name, service in services.items():
        if name not in {"migrate", "beat"}:
            assert "healthcheck" in service, name


def test_it_documents_every_variable_in_the_readme() -> None:
    readme = (BASE_DIR / "README.md").read_text()
    for variable in VARIABLES:
        assert f"`{variable}`" in readme, variable
