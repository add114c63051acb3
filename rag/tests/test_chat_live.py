"""The reading tools on the demo facility: what they find, how they mark it, whom they refuse."""

import datetime as dt

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from rag.chat import tools
from rag.chat.tools import ToolRefused


def tool(name: str) -> tools.ChatTool:
    return next(one for one in tools.registered() if one.name == name)


def ask(question: str, user) -> dict:
    """Choose by the question and run."""
    found = tools.find(question)
    assert found is not None, question
    return tools.run(found[0], user=user, arguments=found[1])


@pytest.fixture
def readings(demo_facility):
    """Inlet temperatures of all racks, some odd ones among them, and a few more values."""
    from facilities.models import LatestReading, Point

    now = timezone.now()
    racks = Point.objects.filter(asset__kind="rack", quantity="inlet_c").order_by("tag")
    rows = [(point, 20 + n / 2, 1, 0) for n, point in enumerate(racks)]
    more = {
        "rack-1-03.inlet_c": (29.5, 1, 0), "rack-1-04.inlet_c": (61.0, 4, 0),
        "crac-1.supply_c": (18.2, 1, 0), "crac-1.fan_speed_pct": (71.5, 1, 7200),
        "crac-4.running": (0, 1, 0), "crac-2.supply_c": (27.0, 3, 0),
        "rack-1-03.power_w": (31_500, 1, 0),
    }  # fmt: skip
    points = {point.tag: point for point in Point.objects.filter(tag__in=more)}
    rows = [row for row in rows if row[0].tag not in more]
    rows += [(points[tag], *row) for tag, row in more.items()]
    LatestReading.objects.bulk_create(
        LatestReading(
            point=point,
            value=value,
            quality=quality,
            ts=now - dt.timedelta(seconds=age),
            received_at=now,
        )
        for point, value, quality, age in rows
    )


def texts(result: dict, column: int) -> list[str]:
    cells = [row[column] for row in result["table"]["rows"]]
    return [cell["text"] if isinstance(cell, dict) else cell for cell in cells]


def test_it_reads_a_value_with_unit_time_and_quality(readings, viewer):
    result = ask("What is the supply temperature of CRAC 1?", viewer)

    assert "crac-1 supply temperature is 18.2 °C" in result["text"]
    assert "quality good" in result["text"]
    assert result["quality"] == "good"
    assert result["url"] == "/assets/crac-1/"
    assert dt.datetime.fromisoformat(result["at"]).tzinfo is not None
    assert result["facts"] == [result["text"]]


def test_it_marks_stale_suspect_and_named_states(readings, viewer):
    stale = ask("fan speed of crac-1?", viewer)
    assert stale["quality"] == "stale"
    assert "2 h old" in stale["text"]
    assert ask("supply temperature of CRAC-2 now", viewer)["quality"] == "suspect"
    assert "stopped (0)" in ask("Is CRAC-4 running?", viewer)["text"]
    cell = stale["table"]["rows"][0][4]
    assert cell["tone"] == "warn"


def test_it_compares_and_leaves_failed_readings_out(readings, viewer):
    above = ask("Which racks are above 27 °C?", viewer)
    assert "rack-1-03" in above["facts"][1]
    assert all(float(text.split()[0]) > 27 for text in texts(above, 2))
    assert "1 readings flagged failed" in above["notes"][0]

    hottest = ask("What is the hottest rack right now?", viewer)
    assert hottest["text"].startswith(
        "rack-1-03 has the highest inlet temperature of 15 rack points: 29.5"
    )
    assert ask("coldest rack", viewer)["text"].startswith("rack-1-01 has the lowest")
    assert (
        "mean of inlet temperature over 15"
        in ask("average inlet temperature of all racks", viewer)["text"]
    )
    none = ask("which racks draw more than 200 kW", viewer)
    assert "None of 1 rack points report a power above 200.0 kW" in none["text"]
    assert "table" not in none


def test_it_says_what_is_not_in_the_inventory(readings, viewer):
    question = "What is the supply temperature of CRAC-9?"
    result = ask(question, viewer)
    assert "no “CRAC-9” in the inventory; did you mean crac-1, crac-2" in result["text"]
    assert tools.combines(question)


def test_it_says_when_nothing_was_reported(demo_facility, viewer):
    for question in ("supply temperature of CRAC 1", "hottest rack", "What is the PUE now?",
                     "power of rack-1-03 in the last 2 hours", "PUE yesterday"):  # fmt: skip
        result = ask(question, viewer)
        assert result["quality"] == "missing", question
        assert "table" not in result
        assert "chart" not in result


@pytest.fixture
def course(demo_facility):
    """Three hours of a rack's power, one reading a minute, one of them failed."""
    from django.db import connection

    from facilities import partitions
    from facilities.models import Point

    now = timezone.now().replace(microsecond=0)
    partitions.forget()
    partitions.ensure_partitions({now.date(), (now - dt.timedelta(hours=3)).date()})
    point = Point.objects.get(tag="rack-1-03.power_w")
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO facilities_reading (point_id, ts, value, quality, received_at) "
            "VALUES (%s, %s, %s, %s, %s)",
            [
                (
                    point.pk,
                    now - dt.timedelta(minutes=180 - n),
                    20_000 + 50 * n,
                    4 if n == 150 else 1,
                    now,
                )
                for n in range(180)
            ],
        )
    yield
    partitions.forget()


def test_it_draws_the_course_over_a_time(course, viewer):
    result = ask("how has the power of rack-1-03 changed in the last 2 hours", viewer)

    series = result["chart"]["series"][0]
    assert series["unit"] == "W"
    assert 100 <= len(series["points"]) <= 240
    assert [point[2] for point in series["points"]].count(4) == 1
    assert result["chart"]["to"] - result["chart"]["from"] == pytest.approx(7200)
    assert "rose from 23.0 kW to 28.9 kW" in result["text"] or "rose from 23.1 kW" in result["text"]
    assert "flagged" in result["notes"][0]
    assert len(result["table"]["rows"]) == 1


@pytest.fixture
def alarms(demo_facility):
    """A CRAC fault with a consequence, and one that was cleared last week."""
    from facilities.models import Alarm, AlarmRule, Point

    now = timezone.now()

    def raised(tag: str, rule: str, ago_s: float, **more):
        kept = AlarmRule.objects.get(name=rule)
        return Alarm.objects.create(
            point=Point.objects.get(tag=tag), rule=kept, severity=kept.severity, message=kept.message,
            value=1, peak_value=1, raised_at=now - dt.timedelta(seconds=ago_s), **more,
        )  # fmt: skip

    cause = raised("crac-2.fault", "CRAC fault", 600, acknowledged_at=now)
    raised("rack-1-03.inlet_c", "Rack inlet high", 300, root=cause)
    raised("chiller-1.fault", "Chiller fault", 7 * 86_400, cleared_at=now - dt.timedelta(days=6))


def test_it_lists_alarms_with_their_likely_cause(alarms, viewer):
    result = ask("Which alarms are open?", viewer)
    assert result["text"].startswith("2 open alarms: 2 high.")
    assert "They form 1 group" in result["text"]
    assert sorted(texts(result, 6)) == ["CRAC fault on crac-2.fault", "itself"]
    assert any("Its likely cause is CRAC fault" in fact for fact in result["facts"])
    assert len(ask("Show all unacknowledged alarms", viewer)["table"]["rows"]) == 1
    assert len(ask("alarms of CRAC-2", viewer)["table"]["rows"]) == 1
    assert "no open critical alarms" in ask("Are there any critical alarms?", viewer)["text"]
    assert len(ask("alerts of the last 10 days", viewer)["table"]["rows"]) == 3
    assert "1 cleared alarm" in ask("show cleared alarms of the last 10 days", viewer)["text"]


def test_it_reads_connections(demo_facility, viewer):
    assert (
        "rack-1-03 is powered by pdu-a1 and pdu-b1" in ask("What feeds rack-1-03?", viewer)["text"]
    )
    assert "cooled" not in ask("what powers rack 2-04", viewer)["text"]
    down = ask("What depends on chiller-1?", viewer)
    assert "16 racks" in down["text"]
    assert "In these racks stand" in down["text"]
    assert "srv-05) stands in rack-1-04" in ask("Where is srv-05?", viewer)["text"]
    inside = ask("Which servers are in rack-1-03?", viewer)
    assert {"srv-01", "srv-02", "srv-03", "srv-04"} <= set(texts(inside, 0))
    redundancy = ask("Is rack-1-03 fed redundantly?", viewer)
    assert "2 power paths (pdu-a1 and pdu-b1); no single asset" in redundancy["text"]
    assert "all of them need tower-1" in redundancy["text"]


def test_it_predicts_with_a_band(demo_facility, viewer):
    result = ask("what if CRAC-2 fails for 5 minutes?", viewer)

    assert result["is_prediction"]
    assert result["text"].startswith("Prediction for 5 min: If CRAC 2 trips")
    series = result["chart"]["series"][0]
    assert len(series["points"]) == len(series["band"])
    assert all(
        low <= point[1] <= high
        for point, (low, high) in zip(series["points"], series["band"], strict=True)
    )
    assert "not a reading" in result["table"]["caption"]
    assert "prediction" in result["quality"]
    assert "has not followed" in ask("How accurate is the twin?", viewer)["text"]


def test_it_finds_bad_and_silent_points(readings, viewer):
    from facilities.models import Point, PointQuality

    PointQuality.objects.create(
        point=Point.objects.get(tag="rack-1-04.inlet_c"), computed_at=timezone.now(), window_s=60, flag=4,
        since=timezone.now(), tests={"range": {"flag": 4, "detail": "61 °C is above 50 °C"}},
    )  # fmt: skip
    bad = ask("Which points are bad?", viewer)
    assert "1 point is flagged" in bad["text"]
    assert "61 °C is above 50 °C" in bad["table"]["rows"][0][3]
    assert "1 of 21 points" in ask("Which sensors are silent?", viewer)["text"]
    assert "No point" in ask("Can I trust the readings of CRAC-2?", viewer)["text"]


def test_it_lists_documents_that_the_reader_may_read(corpus, demo_facility, viewer, supervisor):
    from django.contrib.auth.models import Group

    from rag.models import Collection, Revision

    Revision.objects.filter(document__slug="eop-test-crac").update(review_due=dt.date(2026, 1, 1))
    assert texts(ask("Which procedures do we have?", viewer), 0)
    due = ask("Which procedures are due for review?", viewer)
    assert "1 document past the review date" in due["text"]
    assert due["table"]["rows"][0][4]["tone"] == "bad"
    assert due["documents"] == ["eop-test-crac"]

    Collection.objects.get(slug="tests").groups.add(Group.objects.get(name="supervisor"))
    assert "No procedures" in ask("Which procedures do we have?", viewer)["text"]
    assert texts(ask("Which procedures do we have?", supervisor), 0)


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_it_serves_every_role_and_no_stranger(readings, request, role):
    user = request.getfixturevalue(role)
    questions = ("hottest rack", "open alarms", "What feeds rack-1-03?", "Which points are bad?",
                 "How accurate is the twin?", "What is the PUE now?", "list all EOPs")  # fmt: skip
    for question in questions:
        assert ask(question, user)["text"]
        with pytest.raises(ToolRefused, match="sign in"):
            ask(question, AnonymousUser())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("live_values", {"assets": ["nope-1"], "kinds": [], "quantities": [], "operation": ""}),
        ("live_values", {"assets": "crac-1", "kinds": [], "quantities": [], "operation": ""}),
        ("live_values", {"assets": [], "kinds": [], "quantities": [], "operation": "drop"}),
        ("live_values", {"assets": ["crac-1"] * 99, "kinds": [], "quantities": [], "operation": ""}),
        ("live_values", {"assets": ["crac-1"], "kinds": [], "quantities": ["supply_c"], "operation": "",
                         "start": "tomorrow", "end": "x"}),
        ("live_values", {"assets": ["crac-1"], "kinds": [], "quantities": ["supply_c"], "operation": "",
                         "sql": "1; DROP TABLE"}),
        ("alarms", {"assets": [], "kinds": [], "state": "all'; --", "severities": []}),
        ("alarms", {"assets": ["../../etc"], "kinds": [], "state": "open", "severities": []}),
        ("topology", {"asset": "no-such", "what": "upstream", "links": []}),
        ("topology", {"asset": "crac-1", "what": "destroy", "links": []}),
        ("twin", {"what": "whatif", "changes": [{"asset": "crac-1", "what": "crac_start; rm"}]}),
        ("twin", {"what": "whatif", "changes": [{"asset": "ups-a", "what": "crac_trip"}], "duration_s": 60}),
        ("twin", {"what": "whatif", "changes": [], "duration_s": 1e12}),
        ("energy", {"ratios": []}),
        ("data_quality", {"assets": ["%"], "kinds": [], "which": "bad"}),
        ("documents", {"what": "list", "about": "x" * 500, "kinds": []}),
    ],
)  # fmt: skip
def test_it_refuses_hostile_arguments(demo_facility, viewer, name, arguments):
    with pytest.raises(ToolRefused):
        tools.run(tool(name), user=viewer, arguments=arguments)


def test_it_reads_only(readings, alarms, viewer):
    """No reading tool leaves anything behind."""
    from facilities.models import Alarm, AlarmEvent, LatestReading, WhatIfRun

    def state() -> tuple[int, ...]:
        models = (Alarm, AlarmEvent, LatestReading, WhatIfRun)
        return tuple(model.objects.count() for model in models)

    before = state()
    for question in ("hottest rack", "open alarms", "What if CRAC-2 fails for 1 minute?",
                     "Which sensors are silent?"):  # fmt: skip
        ask(question, viewer)
    assert state() == before


def test_it_means_measurements_not_what_the_twin_makes_of_them(readings, viewer):
    from facilities.models import LatestReading, Point

    measured = Point.objects.get(tag="rack-1-03.power_w")
    made = Point.objects.create(
        tag="rack-1-03.power_w_residual",
        asset=measured.asset,
        quantity="power_w_residual",
        name="Rack 1-03 Power residual",
        unit="W",
    )
    now = timezone.now()
    LatestReading.objects.create(point=made, ts=now, value=-3, quality=1, received_at=now)
    assert "residual" not in str(ask("What is the power of rack-1-03?", viewer))
    assert "residual" not in str(ask("How is rack-1-03 doing?", viewer)["table"])
    assert "-3 W" in ask("What is the power residual of rack-1-03?", viewer)["text"]
