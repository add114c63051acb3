"""`change_embedding_model NAME [--path FOLDER | --url URL]`: embed by another model, then switch."""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from rag.intake.embedding import EMBEDDING_MODEL, EmbedderMissing
from rag.intake.switching import (
    SwitchRefused,
    fill_progress,
    fill_work,
    model_back,
    model_start,
    model_stop,
    models_drop,
)
from rag.intake.workers import worker_answers
from rag.models import EmbeddingModel

POLL_S = 1.0


class Command(BaseCommand):
    """Change the embedding model while the old one serves (docs/embedding-models.md)."""

    help = "Embed all passages by another model in the background, then let it serve."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The model, or what to do about models."""
        parser.add_argument("name", nargs="?", help="what /v1/embeddings is asked for")
        where = parser.add_mutually_exclusive_group()
        where.add_argument(
            "--path", help="folder saved by sentence-transformers (default: embedders/NAME in the "
            "data folder, from where the bundled kvserve serves it too)",
        )  # fmt: skip
        where.add_argument("--url", help="OpenAI-compatible server that embeds, without /v1")
        parser.add_argument("--dimensions", type=int, help="refuse a model that gives others")
        parser.add_argument("--wait", action="store_true", help="show progress until it serves")
        parser.add_argument("--stop", action="store_true", help="stop filling NAME")
        parser.add_argument("--status", action="store_true", help="list the models")
        parser.add_argument("--back", action="store_true", help="return to the former model")
        parser.add_argument("--drop", action="store_true", help="remove retired models' vectors")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what the options say."""
        from kvserve.client import LLMRefused, LLMUnavailable

        try:
            self._handle(options)
        except (SwitchRefused, EmbedderMissing, LLMUnavailable, LLMRefused) as error:
            raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        if options["status"]:
            self._status()
        elif options["drop"]:
            names = models_drop()
            self.stdout.write(f"dropped: {', '.join(names)}" if names else "nothing to drop")
        elif options["back"]:
            model, is_serving = model_back()
            self._started(model, is_serving, wait=options["wait"])
        elif not options["name"]:
            raise CommandError("name a model, or use --status, --back or --drop")
        elif options["stop"]:
            model_stop(name=options["name"])
            self.stdout.write(f"{options['name']} is no longer filled; --drop removes its vectors")
        else:
            model = model_start(
                name=options["name"],
                path=self._path(options),
                url=(options["url"] or "").rstrip("/").removesuffix("/v1"),
                dimensions=options["dimensions"],
            )
            self._started(model, is_serving=False, wait=options["wait"])

    def _path(self, options: dict[str, Any]) -> str:
        name = options["name"]
        if options["path"] or options["url"] or name == EMBEDDING_MODEL:
            return str(options["path"] or "")
        known = EmbeddingModel.objects.filter(name=name).first()
        if known is not None:
            return known.path
        return str(settings.DATA_DIR / "embedders" / name)

    def _started(self, model: EmbeddingModel, is_serving: bool, *, wait: bool) -> None:
        if is_serving:
            self.stdout.write(f"{model.name} serves")
            return
        done, total = fill_progress(model)
        self.stdout.write(
            f"{model.name} ({model.dimensions} dimensions) is being filled: {done} of {total} "
            "passages; the present model serves until it is complete"
        )
        if wait:
            self._wait(model)
        elif not worker_answers():
            self.stdout.write("No worker answers on the queue `knowledge`; start one, or --wait")

    def _wait(self, model: EmbeddingModel) -> None:
        is_here, shown = not worker_answers(), -1
        while True:
            if is_here:
                fill_work()
            else:
                time.sleep(POLL_S)
            model.refresh_from_db()
            done, total = fill_progress(model)
            if done != shown:
                shown = done
                self.stdout.write(f"embedded {done}/{total} passages")
            if model.state != EmbeddingModel.State.BUILDING:
                self.stdout.write(f"{model.name}: {model.get_state_display().lower()}")
                return
            if model.error:
                raise CommandError(f"{model.error} (it is tried again every minute)")

    def _status(self) -> None:
        for model in EmbeddingModel.objects.order_by("created_at"):
            done, total = fill_progress(model)
            where = model.path or model.url or "bundled"
            self.stdout.write(
                f"{model.state:<9} {model.name} · {model.dimensions} dimensions · "
                f"{done}/{total} passages · {where}"
            )
            if model.error:
                self.stdout.write(f"          {model.error}")
