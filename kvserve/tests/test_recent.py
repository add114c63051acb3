"""The seconds behind rates and small charts."""

from kvserve.observe.recent import ENERGY_S, KEEP_S, Recent
from kvserve.tests.toy import Clock


def test_it_sums_each_second_and_fills_the_empty_ones() -> None:
    clock = Clock()
    clock.now = 1000.2
    recent = Recent(clock)
    recent.now.generated += 3
    recent.now.usage = 0.5
    clock.now = 1000.9
    recent.now.generated += 4
    clock.now = 1003.1
    recent.now.prompt += 9
    clock.now = 1004.0
    rows = recent.since(0)
    assert [(row.at, row.generated, row.prompt, row.usage) for row in rows] == [
        (1000, 7, 0, 0.5),
        (1001, 0, 0, 0.5),
        (1002, 0, 0, 0.5),
        (1003, 0, 9, 0.5),
    ]
    assert [row.at for row in recent.since(1002)] == [1003]
    clock.now += 10 * KEEP_S
    assert len(recent.since(0)) == KEEP_S - 1


def test_rates_forget() -> None:
    clock = Clock()
    recent = Recent(clock)
    clock.now = 100.0
    second = recent.now
    second.generated, second.prompt, second.cached, second.queried = 30, 40, 30, 60
    second.joules = 5.0
    rates = recent.rates()
    assert (rates.generation_tokens_s, rates.prompt_tokens_s, rates.watts) == (3, 4, 0.5)
    assert (rates.hit_rate, rates.joules_per_1000_tokens) == (0.5, 50)
    clock.now += ENERGY_S + 1
    assert recent.rates() == (0, 0, None, 0, None)
