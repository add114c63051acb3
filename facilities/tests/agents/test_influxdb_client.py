"""The real ``influxdb-client`` against the real server: sync, batching, gzip, errors."""

from __future__ import annotations

import gzip
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from facilities.models import Reading
from facilities.models.quarantine import QuarantinedItem
from facilities.tests.agents.conftest import Server, stored

pytestmark = pytest.mark.django_db(transaction=True)
KEY = 'air.inlet_c{rack="a"}'


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def client(
    request: pytest.FixtureRequest, running: Server, agent_token: str
) -> Iterator[InfluxDBClient]:
    with InfluxDBClient(running.url, agent_token, org="o", enable_gzip=request.param) as found:
        yield found


def test_it_takes_points_lines_and_dictionaries(client: InfluxDBClient) -> None:
    assert client.ping()
    now = time.time_ns()
    write = client.write_api(write_options=SYNCHRONOUS)
    point = Point("air").tag("rack", "a").field("inlet_c", 23.5).field("fan", 7).field("ok", True)
    write.write("b", record=point.time(now - 3_000_000_000))
    seconds: Any = WritePrecision.S  # a plain text, whatever the client's annotations say
    line = f"air,rack=a inlet_c=24.5 {now // 10**9 - 2}"
    write.write("b", record=line, write_precision=seconds)
    write.write(
        "b",
        record={
            "measurement": "air",
            "tags": {"rack": "a"},
            "fields": {"inlet_c": 25},
            "time": now,
        },
    )
    assert stored(KEY) == [23.5, 24.5, 25.0]
    assert stored('air.ok{rack="a"}') == [1.0]
    # The same once more changes nothing: a repeated batch after a lost answer is safe.
    write.write("b", record=point.time(now - 3_000_000_000))
    assert stored(KEY) == [23.5, 24.5, 25.0]


def test_it_tells_the_client_which_lines_are_not_stored(client: InfluxDBClient) -> None:
    write = client.write_api(write_options=SYNCHRONOUS)
    old = time.time_ns() - 10 * 365 * 86_400 * 10**9
    with pytest.raises(ApiException) as refused:
        write.write(
            "b",
            record=["air,rack=a inlet_c=20", "air,rack=a inlet_c=", f"air,rack=a inlet_c=1 {old}"],
        )
    assert refused.value.status == 400
    assert "line 2" in refused.value.body
    assert "line 3" in refused.value.body
    assert stored(KEY) == [20.0]
    kept = dict(QuarantinedItem.objects.values_list("code", "raw"))
    assert kept["malformed"] == "air,rack=a inlet_c="
    assert "too_old" in kept


def test_it_stores_every_batch_of_the_batching_writer(client: InfluxDBClient) -> None:
    errors: list[object] = []
    options = WriteOptions(batch_size=100, flush_interval=200, max_retries=2)
    start = time.time_ns() - 10**9
    with client.write_api(
        write_options=options, error_callback=lambda *seen: errors.append(seen)
    ) as write:
        for n in range(450):
            write.write("b", record=f"air,rack=a inlet_c={n} {start + n * 1_000_000}")
    assert errors == []
    assert stored(KEY) == [float(n) for n in range(450)]


def test_it_refuses_a_wrong_token_in_the_clients_words(running: Server) -> None:
    with (
        InfluxDBClient(running.url, "hp_wrong", org="o") as client,
        pytest.raises(ApiException) as refused,
    ):
        client.write_api(write_options=SYNCHRONOUS).write("b", record="air inlet_c=1")
    assert refused.value.status == 401
    assert '"code":"unauthorized"' in refused.value.body
    assert Reading.objects.count() == 0


def test_it_takes_v1_with_user_and_password_as_older_agents_send_it(
    running: Server, agent_token: str
) -> None:
    def post(query: str, body: bytes, **headers: str) -> int:
        request = urllib.request.Request(
            f"{running.url}{query}", data=body, headers=headers, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    seconds = int(time.time())
    line = f"air,rack=a inlet_c=21 {seconds}".encode()
    assert post(f"/write?db=telegraf&precision=s&u=telegraf&p={agent_token}", line) == 204
    again = gzip.compress(f"air,rack=a inlet_c=22 {seconds - 1}".encode())
    token = {"Authorization": f"Token telegraf:{agent_token}", "Content-Encoding": "gzip"}
    assert post("/write?db=telegraf&precision=s", again, **token) == 204
    assert (
        post("/write?db=telegraf", b"nonsense", **token | {"Content-Encoding": "identity"}) == 400
    )
    assert post("/query?q=CREATE+DATABASE+telegraf", b"") == 403
    assert stored(KEY) == [22.0, 21.0]
