"""What a crashed start leaves, and ports that others hold."""

import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ops_platform.embedded import leftovers


def test_it_lets_one_stack_hold_a_data_folder(tmp_path: Path) -> None:
    held = leftovers.lock(tmp_path)
    leftovers.write_runtime(tmp_path, port=8123, children={})
    with pytest.raises(leftovers.AlreadyRunning, match="8123"):
        leftovers.lock(tmp_path)
    held.close()
    leftovers.lock(tmp_path).close()


def test_it_ends_the_children_of_a_crashed_start(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    leftovers.write_runtime(tmp_path, port=8000, children={"web": child.pid})
    assert leftovers.end_leftovers(tmp_path) == ["web"]
    assert not psutil.pid_exists(child.pid)
    child.wait()


def test_it_leaves_a_stranger_alone_that_has_the_same_process_id(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        leftovers.write_runtime(tmp_path, port=8000, children={"web": child.pid})
        path = tmp_path / "runtime.json"
        path.write_text(path.read_text().replace('"born": ', '"born": 1'))
        assert leftovers.end_leftovers(tmp_path) == []
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_it_survives_a_broken_runtime_file(tmp_path: Path) -> None:
    (tmp_path / "runtime.json").write_text("{")
    assert leftovers.end_leftovers(tmp_path) == []


def test_it_names_the_busy_port_and_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(leftovers.PortTaken) as caught:
            leftovers.check_ports({"web": 8000, "kvserve": port}, host="127.0.0.1", patience_s=0.2)
    assert f"Port {port} (for kvserve)" in str(caught.value)
    assert "make run PORT=9000" in str(caught.value)
