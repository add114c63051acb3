"""Foreign equipment for tests, in a process of its own: a Modbus controller, a Redfish service and a
BMS that takes signed webhooks. Nothing of ours is in it but `standardwebhooks`' verification.

Run as `python -m approvals.tests.field_devices`. It prints one JSON line with its addresses, then
answers commands, a JSON object per line: {"do": "reset"}, {"do": "log", "of": device},
{"do": "fault", "of": device, "faults": [...]}, {"do": "put", "path", "body"}, {"do": "get", "path"}.

A fault is used up by one write (POST, PATCH, or a Modbus write) in order: {"kind": "lost_before"},
{"kind": "lost_after"}, {"kind": "late", "s"}, {"kind": "busy", "after"?}, {"kind": "clamp", "to"},
{"kind": "ignore"}, {"kind": "status", "status", "headers"?, "body"?}, {"kind": "huge"},
{"kind": "drip"}, {"kind": "task", "polls", "end"?}, {"kind": "exception", "code"}, {"kind": "fine"}.
"""

from __future__ import annotations

import asyncio
import copy
import json
import ssl
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from approvals.tests.field_base import PASSWORD, SECRET, USER, Device, Lost
from approvals.tests.field_redfish import Service

__all__ = ["PASSWORD", "SECRET", "USER"]

REGISTERS = 400


class Controller(Device):
    """Modbus units 1 and 2 with coils and holding registers. Coil 399 falls back by itself."""

    def reset(self) -> None:
        super().reset()
        self.drop = 0

    async def serve(self, ready: Any) -> None:
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        def unit(number: int) -> Any:
            async def action(
                function: int, start: int, address: int, count: int, now: list[int], new: Any
            ) -> Any:
                return await self.act(number, function, start, address, now, new)

            bits = [SimData(0, values=[False] * REGISTERS, datatype=DataType.BITS)]
            words = [SimData(0, values=[0] * REGISTERS, datatype=DataType.REGISTERS)]
            return SimDevice(
                number, simdata=(bits, copy.deepcopy(bits), words, copy.deepcopy(words)),
                action=action,
            )  # fmt: skip

        def wire(sending: bool, data: bytes) -> bytes:
            if sending and self.drop:
                self.drop -= 1
                return b""
            return data

        server = ModbusTcpServer([unit(1), unit(2)], address=("127.0.0.1", 0), trace_packet=wire)
        await server.listen()
        listening: Any = server.transport
        ready(listening.sockets[0].getsockname()[1])
        await server.serving

    async def act(
        self, unit: int, function: int, start: int, address: int, now: list[int], new: Any
    ) -> Any:
        """Before each access; a write has values."""
        from pymodbus.constants import ExcCodes

        if new is None:
            return None
        fault = self.fault()
        if fault["kind"] in ("busy", "exception"):
            return ExcCodes(6 if fault["kind"] == "busy" else fault["code"])
        if fault["kind"] == "lost_before":
            self.drop = 1
            return ExcCodes.DEVICE_FAILURE
        if fault["kind"] == "late":
            await asyncio.sleep(fault["s"])
        self.log.append({"unit": unit, "function": function, "register": address,
                         "values": [int(value) for value in new]})  # fmt: skip
        if fault["kind"] == "clamp":
            new[:] = fault["to"]
        if fault["kind"] == "ignore":
            new[:] = [type(new[0])(value) for value in now[address - start :][: len(new)]]
        if fault["kind"] == "lost_after":
            self.drop = 1
        if function == 5 and address == REGISTERS - 1:
            new[:] = [False]
        return None


class Handler(BaseHTTPRequestHandler):
    """One request; `device.answer(handler, body)` gives (status, body, headers) or raises Lost."""

    protocol_version = "HTTP/1.1"
    device: Any

    def handle_one(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, body, headers = self.device.answer(self, content)
        except Lost:
            self.close_connection = True
            return
        huge = headers.pop("X-Huge", "")
        data = b" " * 3_000_000 if huge else json.dumps(body).encode() if body is not None else b""
        drip = headers.pop("X-Drip", "")
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            if drip:
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(0.2)
            else:
                self.wfile.write(data)
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + getattr(self.device, "skew_s", 0.0))

    def log_message(self, *_: Any) -> None:
        """Quiet."""


class Bms(Device):
    """Verifies signature and time, applies each id once, and tells what became of it."""

    def reset(self) -> None:
        super().reset()
        self.done: dict[str, dict[str, Any]] = {}
        self.values: dict[str, float] = {}
        self.fences: dict[str, int] = {}
        self.skew_s = 0.0
        self.has_status = True
        self.asked = 0

    def answer(self, request: Any, content: bytes) -> tuple[int, Any, dict[str, str]]:
        from standardwebhooks import Webhook

        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            Webhook(SECRET).verify(content, headers, json_parse=False)
            if abs(time.time() + self.skew_s - float(headers["webhook-timestamp"])) > 300:
                raise ValueError("Message timestamp too old or too new")
        except Exception as error:
            return 401, {"detail": str(error)}, {}
        if request.command == "GET":
            return self.status(request.path.rpartition("/")[2], headers["webhook-id"])
        fault = self.fault()
        if fault["kind"] == "lost_before":
            raise Lost
        if fault["kind"] in ("status", "busy"):
            after = {"Retry-After": str(fault["after"])} if "after" in fault else {}
            code = 429 if fault["kind"] == "busy" else fault["status"]
            return (
                code,
                fault.get("body") or {"detail": "no"},
                {**after, **fault.get("headers", {})},
            )
        if fault["kind"] == "late":
            time.sleep(fault["s"])
        answer = self.apply(headers, json.loads(content))
        if fault["kind"] == "lost_after":
            raise Lost
        if fault["kind"] == "accept":
            self.done[headers["webhook-id"]].update(status="unknown", polls=fault.get("polls", 0),
                                                    end=fault.get("end", "done"))  # fmt: skip
            return 202, {"accepted": True}, {}
        if fault["kind"] in ("huge", "drip"):
            return 200, answer[1], {f"X-{fault['kind'].title()}": "1"}
        return answer

    def apply(self, headers: dict[str, str], message: dict[str, Any]) -> tuple[int, Any, Any]:
        with self.lock:
            key, data = message["id"], message["data"]
            if key != headers["webhook-id"]:
                return 400, {"detail": "id and header differ"}, {}
            if key in self.done:
                return 200, {"applied": True, "duplicate": True, **self.done[key]["said"]}, {}
            fence, asset = int(headers.get("holdpoint-fence", 0)), data["tag"].rpartition(".")[0]
            if fence and fence < self.fences.get(asset, 0):
                return 409, {"detail": "an older fence"}, {}
            self.fences[asset] = max(fence, self.fences.get(asset, 0))
            said = {"previous": self.values.get(data["tag"], 0.0)}
            if "value" in data:
                self.values[data["tag"]] = data["value"]
            self.done[key] = {"said": said, "status": "done", "polls": 0, "end": "done"}
            self.log.append({"key": key, "type": message["type"], **data})
            return 200, {"applied": True, **said}, {}

    def status(self, key: str, signed: str) -> tuple[int, Any, dict[str, str]]:
        self.asked += 1
        if not self.has_status:
            return 404, {"detail": "Not found."}, {}
        if key != signed:
            return 400, {"detail": "id and address differ"}, {}
        found = self.done.get(key)
        if found is None:
            return 404, {"id": key, "status": "never_received"}, {}
        if found["polls"] > 0:
            found["polls"] -= 1
            return 200, {"id": key, "status": "unknown"}, {}
        state = found["end"] if found["status"] == "unknown" else found["status"]
        return 200, {"id": key, "status": state, **found["said"]}, {}


def _serve(device: Any, context: ssl.SSLContext | None = None) -> int:
    handler = type("Bound", (Handler,), {"device": device})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bmc.test")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, private


def main() -> None:
    controller, service, bms = Controller(), Service(), Bms()
    devices: dict[str, Any] = {"modbus": controller, "redfish": service, "webhook": bms}
    ready = threading.Event()
    port: list[int] = []

    def listening(number: int) -> None:
        port.append(number)
        ready.set()

    threading.Thread(target=lambda: asyncio.run(controller.serve(listening)), daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        pem, private = _certificate(Path(folder))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem, private)
        said = {
            "redfish": f"http://127.0.0.1:{_serve(service)}",
            "redfish_tls": f"https://127.0.0.1:{_serve(service, context)}",
            "webhook": f"http://127.0.0.1:{_serve(bms)}",
            "webhook_tls": f"https://127.0.0.1:{_serve(bms, context)}",
            "ca_file": str(pem),
        }
        ready.wait(20)
        print(json.dumps({**said, "modbus": port[0]}), flush=True)
        for line in sys.stdin:
            print(json.dumps(_answer(devices, json.loads(line))), flush=True)


def _answer(devices: dict[str, Any], asked: dict[str, Any]) -> Any:
    service = devices["redfish"]
    if asked["do"] == "reset":
        for device in devices.values():
            device.reset()
    elif asked["do"] == "log":
        return devices[asked["of"]].log
    elif asked["do"] == "fault":
        devices[asked["of"]].faults = list(asked["faults"])
    elif asked["do"] == "set":
        setattr(devices[asked["of"]], asked["name"], asked["value"])
    elif asked["do"] == "look":
        value = getattr(devices[asked["of"]], asked["name"])
        return sorted(value) if isinstance(value, set) else value
    elif asked["do"] == "put":
        service.tree[asked["path"]] = asked["body"]
        service.version[asked["path"]] = service.version.get(asked["path"], 0) + 1
    elif asked["do"] == "get":
        return service.tree[asked["path"]]
    return None


if __name__ == "__main__":
    main()
