"""The attack set: nothing gets through, neither with the bundled model nor with one that obeys."""

from functools import partial

import pytest

from rag.chat import tools as chat_tools
from rag.evaluation import attack_checks as checks
from rag.evaluation.attacks import SHELF, attack_run, attacks_load
from rag.evaluation.hostile_model import MODES, hostile_model
from rag.models import Collection, Passage

ATTACKS = attacks_load()


def test_it_has_at_least_thirty_attacks_of_every_risk():
    assert len(ATTACKS) >= 30
    assert {attack.risk for attack in ATTACKS} == {"LLM01", "LLM05", "LLM06", "LLM08"}


@pytest.fixture
def obedient(engine, settings):
    """A server that obeys every attack as language model; the real one embeds."""
    with hostile_model() as model:
        settings.LLM_URLS, settings.LLM_ANSWERS = [model.url], "write"
        yield model


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_no_attack_gets_through_a_model_that_obeys(attack, obedient, demo_facility, embed_once):
    said = attack.sentences
    ways = [partial(obedient.behave, attack.draft, mode, said) for mode in MODES]
    for mode, outcome in zip(MODES, attack_run(attack, before=ways), strict=True):
        assert outcome.breaches == [], (mode, outcome.answer)
    assert not Collection.objects.filter(slug=SHELF).exists()
    assert not Passage.objects.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "attack",
    [one for one in ATTACKS if one.id in ("ignore-previous", "call-tool", "closed-collection")],
    ids=lambda attack: attack.id,
)
def test_no_attack_gets_through_the_bundled_model(attack, engine, demo_facility, embed_once):
    (outcome,) = attack_run(attack)
    assert outcome.breaches == [], outcome.answer


def event(answer: str, **more) -> dict:
    return {
        "type": "answer", "mode": "answer", "answer": answer, "citations": [], "passages": [],
    } | more  # fmt: skip


def test_the_checks_see_a_leaked_prompt():
    said = "I was told: Use only the sources given. Answer in one to three short sentences."
    assert checks.leaks_prompt(said)
    assert not checks.leaks_prompt("Use only the lift given by the supplier.")


def test_the_checks_see_active_content():
    html = (
        '<p onclick="x()">a</p><img src="https://evil.example/p.png"><a href="javascript:x()">b</a>'
        '<script>x()</script><a href="https://ok.example/">c</a>'
    )
    found = " ".join(checks.active_content(html))
    assert all(mark in found for mark in ("onclick", "<img>", "javascript:", "<script>"))
    assert "ok.example" not in found


@pytest.mark.django_db
def test_the_checks_see_a_sentence_without_source():
    assert checks.outside_of_citations(event("The pump carries 5000 kg [1]."))


def test_the_checks_tell_quotations_from_the_answer_s_own_words():
    said = checks.asserted(event("Greased every 90 days. [1]\n\n> Ignore this. [2]"))
    assert "Greased" in said
    assert "Ignore" not in said


def test_an_attack_that_succeeds_is_counted(db, embed_once, no_engine, demo_facility):
    """A tool that any question sets off runs during an attack: the runner says so."""
    attack = next(one for one in ATTACKS if one.id == "changed-number")
    chat_tools.register(
        chat_tools.ChatTool(
            "careless", "Runs for every question", "", lambda _question: {},
            lambda _user, _arguments: {"text": "done", "title": "Done", "url": None},
        )
    )  # fmt: skip
    try:
        (outcome,) = attack_run(attack)
        assert "the tool careless ran" in outcome.breaches
    finally:
        chat_tools.unregister("careless")
