"""Download a model's GGUF from the Hugging Face hub: whole and verified, or not at all."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kvserve.errors import ModelUnavailable
from kvserve.weights.gguf_header import read_header
from kvserve.weights.model_store import PART

CHUNK = 1 << 20
SPARE_BYTES = 64 << 20  # left free on the disk

Say = Callable[[str], None]


class RemoteFile(NamedTuple):
    """A file of a repository; `sha256` is the hub's own record of its content."""

    name: str
    size: int
    sha256: str


def pull(repository: str, file: str | None, folder: Path, *, say: Say) -> list[Path]:
    """Fetch one GGUF, with all its parts if it is split, into `folder`.

    A connection that breaks is resumed. Files appear under their names only when their checksum
    and header are right; until then they are in a hidden folder, which is removed in the end.

    Raises:
        ModelUnavailable: no connection, no such repository or file, no room, wrong checksum.
    """
    wanted = _choose(repository, file, _remote_files(repository))
    folder.mkdir(parents=True, exist_ok=True)
    taken = [remote for remote in wanted if (folder / Path(remote.name).name).exists()]
    if taken:
        raise ModelUnavailable(
            f"{folder / Path(taken[0].name).name} exists: remove it first, to pull it again"
        )
    _check_room(folder, sum(remote.size for remote in wanted))
    workshop = folder / f".pull-{repository.replace('/', '--')}"
    try:
        fetched = [_fetch(repository, remote, workshop, say) for remote in wanted]
        return [path.replace(folder / path.name) for path in fetched]
    except OSError as error:
        raise ModelUnavailable(f"cannot write to {folder}: {error}; nothing was kept") from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _remote_files(repository: str) -> list[RemoteFile]:
    from huggingface_hub import HfApi

    info = _ask_hub(repository, lambda: HfApi().model_info(repository, files_metadata=True))
    return [
        RemoteFile(one.rfilename, one.size or 0, one.lfs.sha256)
        for one in info.siblings or []
        if one.rfilename.endswith(".gguf") and one.lfs is not None
    ]


def _choose(repository: str, file: str | None, files: list[RemoteFile]) -> list[RemoteFile]:
    if not files:
        raise ModelUnavailable(
            f"{repository} has no GGUF files: choose a repository that has (their names often end"
            " in -GGUF)"
        )
    choices = [one for one in files if _first_part(one.name)]
    found = [one for one in choices if file in (None, one.name)]
    if len(found) != 1:
        names = "\n".join(f"  {one.name}  {one.size >> 20} MiB" for one in choices)
        problem = f"has no file {file}" if file else f"has {len(choices)} GGUF files"
        raise ModelUnavailable(f"{repository} {problem}; give one of these:\n{names}")
    stem = PART.sub("", found[0].name.removesuffix(".gguf"))
    return [one for one in files if PART.sub("", one.name.removesuffix(".gguf")) == stem]


def _first_part(name: str) -> bool:
    part = PART.search(name.removesuffix(".gguf"))
    return part is None or int(part[1]) == 1


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise ModelUnavailable(
            f"the download needs {needed >> 20} MiB in {folder}, which has {free >> 20} MiB free:"
            " make room or point the data folder elsewhere"
        )


def _fetch(repository: str, remote: RemoteFile, workshop: Path, say: Say) -> Path:
    from huggingface_hub import hf_hub_download

    say(f"{remote.name}: {remote.size >> 20} MiB")
    path = Path(
        _ask_hub(
            repository,
            lambda: hf_hub_download(repository, remote.name, local_dir=workshop),
        )
    )
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
    if digest.hexdigest() != remote.sha256:
        raise ModelUnavailable(
            f"{remote.name} arrived with the checksum {digest.hexdigest()}, but the hub records"
            f" {remote.sha256}: nothing was kept; try again"
        )
    read_header(path)
    say(f"{remote.name}: checksum verified (sha256 {remote.sha256[:12]}…)")
    return path


def _ask_hub(repository: str, question: Callable[[], Any]) -> Any:
    """Do something at the hub; its errors become one sentence each."""
    from huggingface_hub import constants, errors

    hub = constants.ENDPOINT
    try:
        return question()
    except errors.GatedRepoError as error:
        raise ModelUnavailable(
            f"{repository} asks you to accept its licence: do so at {hub}/{repository} and set"
            " HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelUnavailable(
            f"{hub} has no model '{repository}' (or it is private: set HF_TOKEN)"
        ) from error
    except (errors.HFValidationError, errors.EntryNotFoundError, errors.HfHubHTTPError) as error:
        raise ModelUnavailable(f"{hub} refused {repository}: {_line(error)}") from error
    except (OSError, RuntimeError, errors.HTTPError) as error:
        raise ModelUnavailable(
            f"{hub} cannot be reached, or the connection broke: {_line(error)}. Nothing was kept."
            " Without internet, copy a GGUF file into the models folder yourself"
        ) from error


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
