"""`create_agent NAME`: a token for an outside agent, shown once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.text import slugify

from approvals.errors import GateError
from approvals.models import AgentAccess
from approvals.outside.access import agent_issue, agent_revoke


class Command(BaseCommand):
    """Issue or revoke the token of an outside agent (MCP and REST)."""

    help = "Give an outside agent a token: it may read and propose, never decide."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name and shares."""
        parser.add_argument("name")
        parser.add_argument("--days", type=int, default=90, help="0: it does not expire")
        parser.add_argument("--calls-per-minute", type=int, default=60)
        parser.add_argument("--proposals-per-hour", type=int, default=6)
        parser.add_argument("--revoke", action="store_true", help="end its token instead")

    def handle(self, *args: Any, **options: Any) -> None:
        """Issue or revoke."""
        name = options["name"]
        if slugify(name) != name:
            raise CommandError(f"name '{name}': use lower-case letters, digits and hyphens")
        if options["revoke"]:
            access = AgentAccess.objects.filter(name=name, revoked_at=None).first()
            if access is None:
                raise CommandError(f"there is no agent '{name}' with a valid token")
            agent_revoke(access=access)
            self.stdout.write(f"the token of agent '{name}' is revoked")
            return
        try:
            issued = agent_issue(
                name=name,
                days=options["days"] or None,
                calls_per_minute=options["calls_per_minute"],
                proposals_per_hour=options["proposals_per_hour"],
            )
        except GateError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"agent '{name}', token (shown once): {issued.token}")
