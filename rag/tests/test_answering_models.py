"""Weak and strong language models: which is quoted around, and how far a strong one is believed."""

import pytest

from rag.answers.answering import compose, gather


@pytest.mark.slow
def test_it_measures_that_the_bundled_model_is_to_be_quoted_around(engine, settings):
    from django.core.cache import cache

    from rag.answers import capability

    settings.LLM_ANSWERS = "auto"
    cache.delete(capability._key())
    assert capability.measure() is False
    assert capability.is_strong() is False
    settings.LLM_ANSWERS = "write"
    assert capability.is_strong() is True


def test_it_believes_a_strong_model_that_the_sources_are_silent(corpus, engine):
    question = "How do I start the standby CRAC?"
    evidence = gather(question=question)
    said = "The documents do not say."
    assert compose(question=question, evidence=evidence, draft=said, strong=True)["mode"] == "none"
    assert compose(question=question, evidence=evidence, draft=said)["mode"] == "quote"


def test_it_takes_a_strong_models_citations_at_its_word_only(corpus, engine):
    question = "How long does a full battery carry the full load?"
    evidence = gather(question=question)
    draft = "A full battery carries the full load for 10 minutes [9]. It lasts 20 minutes [1]."
    answer = compose(question=question, evidence=evidence, draft=draft, strong=True)
    assert "for 10 minutes [1]" in answer["answer"] or "10 minutes. [1]" in answer["answer"]
    assert "20 minutes" not in answer["answer"]
    assert answer["citations"][0]["document"] == "sop-test-ups"
