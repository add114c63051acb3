import cProfile, pstats, time
from datetime import UTC, datetime, timedelta
import pytest
from facilities.alarms import engine, table
from facilities.models import *

@pytest.mark.django_db(transaction=True)
def test_storm():
    from benchmarks.ingest import make_data_list
    make_data_list(10_000)
    table.forget()
    ids = list(Point.objects.order_by("pk").values_list("pk", flat=True))
    now = datetime.now(UTC)
    us = int(now.timestamp() * 1e6)
    values = [[pk, us, 45.0, 1] for pk in ids]
    print(len(ids), AlarmRule.objects.count())
    engine.evaluate(point_ids=ids[:5], values=[[pk, us - 1000, 25.0, 1] for pk in ids[:5]])
    pr = cProfile.Profile()
    t = time.perf_counter()
    marks = []
    for s in range(0, len(ids), 2000):
        part = values[s:s+2000]
        t1 = time.perf_counter()
        engine.evaluate(point_ids=[v[0] for v in part], values=part)
        marks.append(round(time.perf_counter() - t1, 2))
    print("plain", time.perf_counter() - t, marks, Alarm.objects.filter(cleared_at=None).count())
    low = [[pk, us + 1_000_000, 25.0, 1] for pk in ids]
    for s in range(0, len(ids), 2000):
        part = low[s:s+2000]
        engine.evaluate(point_ids=[v[0] for v in part], values=part)
    hi = [[pk, us + 2_000_000, 45.0, 1] for pk in ids]
    pr.enable()
    for s in range(0, len(ids), 2000):
        part = hi[s:s+2000]
        engine.evaluate(point_ids=[v[0] for v in part], values=part)
    pr.disable()
    pstats.Stats(pr).sort_stats("cumulative").print_stats(45)
