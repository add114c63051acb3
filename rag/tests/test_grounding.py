"""The sentence checker: what a source supports, and what it must not."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from rag.answers.grounding import Source, check_sentence
from rag.answers.sentences import bare, split_sentences, units

STEP = """Start the standby unit crac-4: set `crac-4.run_cmd` to 1. Its fan setpoint stays at 70 %. The damper opens first; the fan turns after 6 seconds and reaches 70 % within 20 seconds. Only if the standby CRAC cannot be started, raise the fans to 100 %. Do not acknowledge the rack inlet alarms yet; they show whether the recovery works. The technician must wait before closing the valve.

**Warning:** Do not start two units at the same time.

**Hold point:** shedding load is high risk and needs the shift supervisor's signature.

The pump stops before the valve closes. Record the pressure after 10 minutes of operation. The limit is above 27 °C. The supply temperature falls below 20 °C within 120 s.
"""  # noqa: E501
SOURCE = Source(1, STEP, "CRAC unit failure › Step 4 — Start the standby CRAC")
SENTENCES = [bare(piece) for piece in units(STEP)]


@pytest.mark.parametrize(
    "sentence",
    [
        *SENTENCES,
        "Start the standby unit CRAC-4: set crac-4.run_cmd to 1.",
        "The supply temperature falls below 20 °C within 2 minutes.",
        "Do not start 2 units at the same time.",
        "The fan turns after 6 seconds and reaches 70 % within 20 seconds.",
        "After the pump stops, the valve closes.",
        "Record the pressure after 600 s of operation.",
        "Step 4 says: start the standby unit crac-4.",
    ],
)
def test_it_supports_what_the_source_says(sentence):
    assert check_sentence(sentence, [SOURCE]).source == 1


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("The supply temperature falls below 18 °C within 120 s.", "18 °C is not in the source"),
        ("The supply temperature falls below 20 °C within 120 minutes.", "120 minutes is not"),
        ("The supply temperature falls below 120 °C within 20 s.", "is not in the source"),
        ("Set crac-4.run_cmd to 0.", "0 is not in the source"),
        ("Start the standby unit CRAC-3 with a run command.", "crac-3 is not in the source"),
        ("Start two units at the same time.", "negated differently"),
        ("Acknowledge the rack inlet alarms.", "negated differently"),
        ("The fan does not turn after 6 seconds.", "negated differently"),
        ("Raise the fans to 100 %.", "negated differently|condition|'only'"),
        ("The technician may wait before closing the valve.", "'may' is not in the source"),
        ("The technician waits before closing the valve.", "the source says 'must'"),
        ("The damper must open first.", "'must' is not in the source"),
        ("The limit is below 27 °C.", "below 27 °C is not in the source"),
        ("The limit is 27 °C.", "exactly 27 °C is not in the source"),
        ("The valve closes before the pump stops.", "order differs"),
        ("The pump stops after the valve closes.", "order differs"),
        ("Stop the standby unit crac-4.", "opposite of 'stop'"),
        ("Shedding load needs the facility manager's signature.", "too far|'manager'"),
        ("Call the fire brigade and evacuate the building.", "no source|too far"),
        ("Yes.", "nothing that could be checked"),
        ("What is the limit?", "nothing that could be checked"),
    ],
)
def test_it_refuses_what_the_source_does_not_say(sentence, reason):
    verdict = check_sentence(sentence, [SOURCE])
    assert verdict.source is None
    assert re.search(reason, verdict.reason), verdict.reason


def test_it_does_not_borrow_a_number_from_another_line():
    """70 % stands in the passage, but not for the limit."""
    assert check_sentence("The limit is above 70 %.", [SOURCE]).source is None


def test_it_does_not_borrow_a_number_from_a_name():
    """4 stands in the passage, but in crac-4."""
    assert (
        check_sentence("Start the standby unit crac-4: set crac-4.run_cmd to 4.", [SOURCE]).source
        is None
    )
    assert (
        check_sentence("Start the standby unit CRAC 4: set crac-4.run_cmd to 1.", [SOURCE]).source
        == 1
    )


def test_it_does_not_join_two_passages():
    other = Source(2, "The generator starts within 15 seconds.")
    said = "The generator starts within 20 seconds."
    assert check_sentence(said, [SOURCE, other]).source is None
    assert check_sentence("The generator starts within 15 seconds.", [SOURCE, other]).source == 2


def test_it_needs_similarity_for_looser_words():
    text = "Start the standby unit CRAC-4 with a run command and wait 30 s."
    sentence = "Launch the standby unit CRAC-4 with a run command."
    near = Source(1, text, "", [1.0, 0.0])

    assert check_sentence(sentence, [Source(1, text)]).source is None
    assert check_sentence(sentence, [near], vector=[0.0, 1.0]).source is None
    assert check_sentence(sentence, [near], vector=[0.9, 0.1]).source == 1


def test_it_takes_whole_pieces_only_as_verbatim():
    assert check_sentence("Do not start two units at the same time.", [SOURCE]).is_verbatim is False
    whole = "Warning: Do not start two units at the same time."
    assert check_sentence(whole, [SOURCE]).is_verbatim


_NUMBER = re.compile(r"(?<![\w.-])\d+(?![\w.]*\w)")


STANDING = {int(number) for number in re.findall(r"\d+", STEP)}


@pytest.mark.parametrize("sentence", [one for one in SENTENCES if _NUMBER.search(one)])
def test_it_refuses_any_changed_number(sentence):
    """Above all the numbers that the passage states of something else."""
    for place in _NUMBER.finditer(sentence):
        for number in sorted({*STANDING, *range(25)} - {int(place.group())}):
            changed = sentence[: place.start()] + str(number) + sentence[place.end() :]
            assert check_sentence(changed, [SOURCE], vector=None).source is None, changed


@pytest.mark.parametrize("code", ["EOP-CDU-01", "EOP-GPU-03", "EOP-UPS-01", "MOP-CRAC-02"])
def test_it_refuses_numbers_exchanged_within_a_procedure(code):
    """Each sentence with each other number of its own section."""
    text = (Path(settings.BASE_DIR) / "rag" / "procedures" / f"{code}.md").read_text("utf-8")
    tried = 0
    for section in re.split(r"(?m)^#+ ", text):
        title, _, body = section.partition("\n")
        source = Source(1, body, title)
        said = [bare(piece) for piece in units(body)]
        standing = {found.group() for one in said for found in _NUMBER.finditer(one)}
        for sentence in said:
            for place in _NUMBER.finditer(sentence):
                for number in sorted(standing):
                    changed = sentence[: place.start()] + number + sentence[place.end() :]
                    if changed not in said and float(number) != float(place.group()):
                        tried += 1
                        assert check_sentence(changed, [source]).source is None, changed
    assert tried > 50


@pytest.mark.parametrize(
    ("sentence", "is_supported"),
    [
        ("Set in_service to 1, then set cordoned to 0.", True),
        ("Set in_service to 0, then set cordoned to 1.", False),
        ("Set in_service to 0, then set cordoned to 0.", False),
        ("Clean is 70 to 80 Pa and change is above 250 Pa.", True),
        ("Clean is 80 to 70 Pa.", False),
        ("Change above 180 Pa.", False),
        ("Raise the caps to 80, wait 5 minutes, then to 100.", True),
        ("Raise the caps to 100, wait 5 minutes, then to 80.", False),
        ("The pump leak-1.wet = 60 for 60 minutes.", False),
    ],
)
def test_a_number_belongs_to_its_statement(sentence, is_supported):
    text = """Set `in_service` to 1, then set `cordoned` to 0.

Clean is 70 to 80 Pa; order filters above 180 Pa; change above 250 Pa; change is above 250 Pa.

Raise the caps to 80, wait 5 minutes, then to 100.

The pump leak-1.wet = 0 for 60 minutes."""
    assert (check_sentence(sentence, [Source(1, text)]).source == 1) == is_supported


@given(st.sampled_from(SENTENCES), st.integers(1, 99))
def test_it_refuses_any_changed_code(sentence, number):
    changed = re.sub(r"\bcrac-4\b", f"crac-{number}", sentence)
    if changed != sentence and number != 4:
        assert check_sentence(changed, [SOURCE]).source is None, changed


@given(st.sampled_from(SENTENCES), st.sampled_from(["°F", "kW", "Pa", "min", "h", "V"]))
def test_it_refuses_any_changed_unit(sentence, unit):
    changed = re.sub(r"(?<=\d )(?:°C|%|seconds|minutes|s)(?!\w)", unit, sentence, count=1)
    same = unit == "min" and "minutes" in sentence
    if changed != sentence and not same:
        assert check_sentence(changed, [SOURCE]).source is None, changed


@given(st.sampled_from([s for s in SENTENCES if re.search(r"\b(?:not|cannot)\b", s)]))
def test_it_refuses_any_lost_negation(sentence):
    changed = re.sub(r"\b(?:do |does )?not ", "", sentence, flags=re.I).replace("cannot", "can")
    assert check_sentence(changed, [SOURCE]).source is None, changed


@given(st.sampled_from([s for s in SENTENCES if " is " in s or " stays " in s or " needs " in s]))
def test_it_refuses_any_added_negation(sentence):
    changed = re.sub(r" (is|stays|needs) ", r" \1 not ", sentence, count=1)
    assert check_sentence(changed, [SOURCE]).source is None, changed


def test_it_keeps_abbreviations_together():
    assert split_sentences("Wait approx. 5 s. Then start it.") == [
        "Wait approx. 5 s.",
        "Then start it.",
    ]


def test_it_cuts_a_source_into_quotable_pieces():
    text = "Wrapped\nprose. Next.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nx = 1\n\ny\n```\n- item\n- two"
    assert units(text) == [
        "Wrapped prose.", "Next.", "| a | b |\n| 1 | 2 |", "```\nx = 1\n\ny\n```", "- item", "- two",
    ]  # fmt: skip


@given(st.text(max_size=200))
def test_it_splits_without_losing_anything(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
