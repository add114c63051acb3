"""Causes in the fabric: links with errors, lost lanes, flapping and down."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.agent.causes.base import Suspicion, rule
from approvals.agent.facts import Facts

# Symbol errors a second at which a link is in trouble (the rule "Link errors").
ERRORS = 5.0
# Throughput below which a job suffers (the rule "Job slowed" raises at 80 %).
SLOWED_PCT = 85.0
LEADS = frozenset({"job.throughput_pct", "job.step_time_s", "job.exposed_comm_pct"})


@rule
def links_ill(facts: Facts) -> Iterator[Suspicion]:
    """A link that is enabled has errors or is down."""
    slowed = any(
        facts.below(job.tag, "throughput_pct", SLOWED_PCT) and facts.at_least(job.tag, "running", 1)
        for job in facts.of_kind("job")
    )
    # Half a link carries more than none: it is taken out only where a job waits for it.
    disable = 1.0 if slowed else 0.3
    for link in facts.of_kind("link"):
        if facts.below(link.tag, "enabled", 0.5):
            continue
        errors = facts.value(link.tag, "error_rate") or 0.0
        down = facts.below(link.tag, "up", 0.5)
        flapped = any(a.asset == link.tag and a.quantity == "up" for a in facts.alarms)
        if errors > ERRORS:
            yield (
                Suspicion(
                    "link_errors",
                    link.tag,
                    f"{link.name} has symbol errors",
                    "network",
                    2.0,
                    LEADS,
                    {f"disable_link@{link.tag}": disable, f"open_work_order@{link.tag}": 0.7},
                )
                .speaks(True, f"{link.tag}.error_rate = {errors:g} per second", 20)
                .speaks(down, f"{link.tag} is down as well", 0.7)
                .refuted(f"{link.tag}.error_rate falls below {ERRORS:g} per second")
            )
        if down or (flapped and not down):
            yield (
                Suspicion(
                    "link_down" if down else "link_flaps",
                    link.tag,
                    f"{link.name} {'is down' if down else 'goes down and up'}",
                    "network",
                    2.0,
                    LEADS,
                    {
                        f"disable_link@{link.tag}": min(disable, 0.75) if down else disable,
                        f"open_work_order@{link.tag}": 0.85,
                    },
                )
                .speaks(down, f"{link.tag}.up = 0", 20)
                .speaks(flapped and not down, "it was down and is up again", 6)
                .refuted(f"{link.tag}.up stays 1 for 2 min")
            )
