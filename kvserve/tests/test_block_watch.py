"""How long blocks live, rest and wait to be used again."""

from kvserve.kv.block import Block
from kvserve.kv.block_watch import KEPT_GAPS, BlockWatch, Life
from kvserve.tests.toy import Clock


def test_it_tells_lifetime_rest_and_gaps() -> None:
    clock = Clock()
    watch, block = BlockWatch(every=1, clock=clock), Block(7)
    watch.taken(block)
    for clock.now in (2.0, 5.0):
        watch.used(block)
    clock.now = 9.0
    watch.cleared(block)
    assert watch.take() == [Life(9.0, 4.0, [2.0, 3.0])]
    assert watch.take() == []


def test_it_watches_a_sample_and_keeps_the_latest_uses() -> None:
    clock = Clock()
    watch = BlockWatch(every=4, clock=clock)
    blocks = [Block(number) for number in range(8)]
    for block in blocks:
        watch.taken(block)
        for _ in range(KEPT_GAPS + 5):
            watch.used(block)
        watch.cleared(block)
    lives = watch.take()
    assert len(lives) == 2
    assert all(len(life.gaps_s) == KEPT_GAPS for life in lives)
