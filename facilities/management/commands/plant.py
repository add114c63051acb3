"""`manage.py plant`: run the demo plant, or break and repair the one that runs."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

DEFAULT_PORT = 8103
DEFAULT_WEB_URL = "http://127.0.0.1:8000"
#: The web process and the plant are on neighbouring ports of one stack.
PLANT_PORT_OFFSET = 103


class Command(BaseCommand):
    help = (
        "Run the demo plant (no option), talk to the running one (--fault NAME, --clear [NAME], "
        "--list, --status), or run a scenario without a clock (--scenario FILE --out DIR)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--fault", metavar="NAME", help="break something in the running plant")
        action.add_argument(
            "--clear", metavar="NAME", nargs="?", const="", help="repair one fault, or all"
        )
        action.add_argument("--list", action="store_true", help="list the faults")
        action.add_argument("--status", action="store_true", help="show the running plant")
        action.add_argument(
            "--scenario",
            metavar="FILE",
            help="run a scenario file (or one of the plant's own by name) without a clock",
        )
        parser.add_argument("--severity", type=float, help="of --fault: above 0, at most 1")
        parser.add_argument("--over", type=float, help="of --fault: seconds of development")
        parser.add_argument("--out", type=Path, help="of --scenario: where the recording goes")
        parser.add_argument("--port", type=int, help="port of the plant (default: web port + 103)")
        parser.add_argument(
            "--web-url", help="where readings are pushed (default: the web process)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"] or urlsplit(settings.PLANT_URL).port or DEFAULT_PORT
        if options["scenario"]:
            self._scenario(options["scenario"], options["out"])
        elif options["list"]:
            self._list(port)
        elif options["status"]:
            self._status(port)
        elif options["fault"]:
            body = {"fault": options["fault"]}
            for key, option in (("severity", "severity"), ("over_s", "over")):
                if options[option] is not None:
                    body[key] = options[option]
            self._call(port, "POST", "/faults", body)
            self.stdout.write(f"{options['fault']} is present; repair it with --clear")
        elif options["clear"] is not None:
            name = options["clear"]
            self._call(port, "DELETE", f"/faults/{name}" if name else "/faults")
            self.stdout.write(f"{name or 'all faults'} cleared")
        else:
            self._run(port, options["web_url"])

    def _run(self, port: int, web_url: str | None) -> None:
        from facilities.demo.plant.main import Options, PortBusyError, run

        data_dir: Path = settings.DATA_DIR
        token = self._token()
        try:
            run(
                Options(
                    port=port,
                    token=token,
                    web_url=web_url or f"http://127.0.0.1:{port - PLANT_PORT_OFFSET}",
                    data_dir=data_dir / "plant",
                    source_token_file=data_dir / "secrets" / "plant-source-token",
                )
            )
        except PortBusyError as error:
            raise CommandError(str(error)) from error

    def _scenario(self, name: str, out: Path | None) -> None:
        from facilities.demo.plant.points import read_facility
        from facilities.demo.plant.scenario import (
            FOLDER,
            ScenarioError,
            read_scenario,
            run_scenario,
        )

        path = Path(name)
        if not path.exists() and (FOLDER / f"{path.stem}.yaml").exists():
            path = FOLDER / f"{path.stem}.yaml"
        if out is None:
            raise CommandError("--scenario writes a recording: add --out DIR")
        facility = read_facility()
        try:
            scenario = read_scenario(path, facility)
        except ScenarioError as error:
            raise CommandError(str(error)) from error
        began = time.monotonic()
        recording = run_scenario(scenario, facility)
        recording.write(out)
        took_s = time.monotonic() - began
        self.stdout.write(
            f"{scenario.name}: {scenario.duration_s / 3600:.1f} h in {took_s:.0f} s, "
            f"{recording.values.shape[0]:,} x {recording.values.shape[1]:,} readings, "
            f"{len(recording.truth['faults'])} faults, {len(recording.truth['alarms'])} alarms; "
            f"{out / 'readings.npz'}, {out / 'truth.json'}"
        )

    def _list(self, port: int) -> None:
        from facilities.demo.plant.faults import FAULTS, GROUPS

        try:
            present = {
                fault["name"]
                for fault in self._call(port, "GET", "/faults")["faults"]
                if fault["active"]
            }
        except CommandError as error:
            present = set()
            self.stderr.write(f"(whether they are present is unknown: {error})")
        for fault in sorted(FAULTS.values(), key=lambda each: GROUPS.index(each.group)):
            mark = "*" if fault.name in present else " "
            answer = fault.procedure or f"quality: {', '.join(fault.flags)}"
            self.stdout.write(f"{mark} {fault.name:22} {fault.group:11} {fault.title} [{answer}]")

    def _status(self, port: int) -> None:
        state = self._call(port, "GET", "/state")
        values, outbox = state["values"], state["outbox"]
        hottest = max(
            (tag for tag in values if tag.startswith("rack-") and tag.endswith(".inlet_c")),
            key=lambda tag: values[tag],
        )
        self.stdout.write(f"faults      {', '.join(state['faults']) or 'none'}")
        self.stdout.write(f"hottest     {hottest} {values[hottest]:.1f} °C")
        self.stdout.write(
            f"IT power    {values['hall-1.it_power_w'] / 1000:.0f} kW, "
            f"PUE {values['hall-1.pue']:.2f}"
        )
        self.stdout.write(
            f"readings    {outbox['delivered']} batches acknowledged, {outbox['pending']} waiting, "
            f"{outbox['dropped']} dropped"
        )
        if outbox["last_error"]:
            self.stdout.write(f"last error  {outbox['last_error']}")

    def _token(self) -> str:
        token: str = settings.PLANT_TOKEN
        if not token:
            raise CommandError(
                "the plant's token is not set: start the stack once with `make run`, which makes "
                "one, or set OPS_PLANT_TOKEN"
            )
        return token

    def _call(
        self, port: int, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        import httpx

        url = f"http://127.0.0.1:{port}"
        try:
            answer = httpx.request(
                method,
                url + path,
                json=body,
                headers={"Authorization": f"Bearer {self._token()}"},
                timeout=5.0,
                trust_env=False,
            )
            document: dict[str, Any] = answer.json()
        except httpx.TransportError as error:
            raise CommandError(
                f"no plant answers on {url}: start it with `make run` or `manage.py plant`, "
                "or give its --port"
            ) from error
        except ValueError as error:
            raise CommandError(f"{url} answers, but it is not a plant: give its --port") from error
        if answer.status_code == 401:
            raise CommandError(
                f"the plant on {url} refused the token: it belongs to another stack "
                "(check OPS_DATA_DIR and --port)"
            )
        if answer.status_code >= 400:
            raise CommandError(str(document.get("detail", document)))
        return document
