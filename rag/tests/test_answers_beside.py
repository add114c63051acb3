"""A reading and what is written: both where the documents are likely to answer, else the reading."""

import datetime as dt

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.utils import timezone

from rag.answers.answerable import ANSWERABLE
from rag.answers.answering import answer_events, gather
from rag.chat import tools
from rag.chat.history import export_markdown
from rag.chat.sessions import CLOSED, answer_store, messages_shown, question_store
from rag.models import Collection

HELD = "start of standby CRAC-4, supply temperature at 25 °C"
NOT_HELD = "rack-1-03 power at 31 kW"
PLAIN = "What is the supply temperature of CRAC-4?"


@pytest.fixture
def words_only(kvserve_url, settings):
    """The real embedder, and no language model: answers are the documents' own words."""
    settings.EMBED_URLS, settings.LLM_URLS = [kvserve_url], ["http://127.0.0.1:9"]
    settings.LLM_ANSWERS = "quote"


@pytest.fixture
def readings(demo_facility):
    from facilities.models import LatestReading, Point

    now = timezone.now()
    for tag, value in (("crac-4.supply_c", 25.0), ("rack-1-03.power_w", 31_000.0)):
        LatestReading.objects.create(
            point=Point.objects.get(tag=tag), value=value, quality=1, received_at=now,
            ts=now - dt.timedelta(seconds=1),
        )  # fmt: skip


def ask(question: str, user) -> list[dict]:
    async def collect() -> list[dict]:
        return [event async for event in answer_events(question=question, user=user)]

    return async_to_sync(collect)()


def test_it_shows_the_reading_and_then_what_is_written(corpus, readings, words_only, viewer):
    found = tools.find(HELD)
    assert found is not None
    assert found[0].name == "live_values"
    assert not found[0].combines(HELD)
    assert gather(question=HELD, with_live=False).answerable >= ANSWERABLE
    events = ask(HELD, viewer)

    kinds = [event["type"] for event in events]
    assert kinds.index("tool") < kinds.index("answer") == len(kinds) - 1
    assert kinds.count("tool") == kinds.count("answer") == 1
    answer = events[-1]
    reading, quoted = answer["answer"].split("\n\n", 1)
    assert "25" in reading
    assert reading.endswith("[1]")
    assert "below 20 °C within 120 s" in quoted
    assert quoted.endswith("[2]")
    assert (answer["mode"], answer["grounded"]) == ("quote", True)
    first, second = answer["citations"][:2]
    assert (first["n"], first["passage_id"], first["section"]) == (1, None, "crac-4")
    assert (second["n"], second["document"], second["step"]) == (2, "eop-test-crac", 2)
    assert answer["tools"] == [
        {"name": "live_values", "result": events[kinds.index("tool")]["result"]}
    ]
    assert answer["passages"]
    assert answer["timing"]["retrieval"] is not None


def test_it_keeps_and_exports_both_and_closes_both(corpus, readings, words_only, viewer):
    answer = ask(HELD, viewer)[-1]
    session = question_store(user=viewer, question=HELD, session=None)
    answer_store(session=session, event=answer)

    _, shown = messages_shown(session=session, user=viewer)
    assert (shown["text"], shown["citations"]) == (answer["answer"], answer["citations"])
    assert shown["tools"] == answer["tools"]
    text = export_markdown(session=session, user=viewer)
    assert 0 < text.index("| --- |") < text.index("> **Step 2") < text.index("Sources:")
    assert text.index("- [1] Live readings") < text.index("- [2] CRAC unit failure")

    Collection.objects.get(slug="tests").groups.add(Group.objects.get(name="supervisor"))
    assert [m["text"] for m in messages_shown(session=session, user=viewer)][1] == CLOSED
    alone = ask(HELD, viewer)[-1]
    assert alone["mode"] == "tool"
    assert not alone["passages"]


@pytest.mark.parametrize(
    ("question", "searches"), [(NOT_HELD, True), (PLAIN, False)], ids=["below the bar", "plain"]
)
def test_it_shows_the_reading_alone(corpus, readings, words_only, viewer, question, searches):
    if searches:
        assert gather(question=question, with_live=False).answerable < ANSWERABLE
    events = ask(question, viewer)

    statuses = [event["text"] for event in events if event["type"] == "status"]
    assert ("Searching the documents" in statuses) is searches
    answer = events[-1]
    assert answer["mode"] == "tool"
    assert "documents" not in answer["answer"]
    assert [entry["passage_id"] for entry in answer["citations"]] == [None]
    assert (answer["passages"], answer["procedure"], answer["revisions"]) == ([], None, [])


def test_it_shows_the_reading_alone_while_nothing_is_embedded(corpus, readings, no_engine, viewer):
    answer = ask(HELD, viewer)[-1]
    assert (answer["mode"], answer["degraded"]) == ("tool", "")


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("GPU at 93 degrees in rack 2-04", True),
        ("What if CRAC-2 fails?", True),
        ("how much diesel is left and when to refuel", True),
        ("How high may the rack inlet be?", True),
        ("UPS runtime short", True),
        ("What is the supply temperature of CRAC 1?", False),
        ("inlet temperature rack 1-03", False),
        ("all inlet temperatures above 25", False),
        ("power of rack-1-03 over the last 30 minutes", False),
        ("Is rack-1-03 fed redundantly, or is there a single point of failure?", False),
        ("hottest rack", False),
    ],
)
def test_it_reads_whether_what_is_written_may_be_meant(demo_facility, question, wanted):
    assert tools.beside(question) is wanted


def test_it_never_adds_documents_to_a_list_of_documents_or_a_command(demo_facility):
    alone = [tool.name for tool in tools.registered() if not tool.beside("what if it stops?")]
    assert "documents" in alone
    assert all(tool.score is None or tool.name == "documents" for tool in tools.registered()
               if tool.name in alone)  # fmt: skip
