"""Checkpoints: whole or not at all, and read without running any code from the file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from pyro_mixvae.training.errors import CannotWrite
from pyro_mixvae.training.history import History

#: Where a run folder keeps its checkpoints, and the name of the one that is written after each epoch.
FOLDER, LAST = "checkpoints", "last.ckpt"


def replace_file(path: str | Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file under a temporary name beside it and rename that, so that a reader finds the old or the new one.

    Args:
        path: the file.
        write: called with the open file.
    """
    path = Path(path)
    # a name of the process's own: a killed one leaves its piece behind, which the next clears away
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    _clear_away(path)
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _clear_away(path: Path) -> None:
    """Remove the pieces of that file which processes that are no more have left."""
    for piece in path.parent.glob(f".{path.name}.*.part"):
        writer = piece.name.split(".")[-2]
        if writer.isdecimal() and int(writer) != os.getpid():
            try:
                os.kill(int(writer), 0)
            except ProcessLookupError:
                with suppress(OSError):
                    piece.unlink(missing_ok=True)
            except OSError:
                continue


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's files, written in their own folder and renamed, and read with ``weights_only=True``.

    Lightning itself writes to the system's temporary folder and moves the file; where that is another file system,
    moving is copying, and a process killed meanwhile leaves half a checkpoint under the right name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, lambda file: torch.save(checkpoint, file))
        # torch.save turns an error of the file into one of its own
        except (OSError, RuntimeError) as error:
            safe = "the one before it is untouched" if Path(path).exists() else "there is none yet"
            raise CannotWrite(f"cannot write the checkpoint {path}: {_reason(error)}; {safe}") from error

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        # the processes of a strategy that forks hand their weights back by such a file too, without what fit adds
        return _read(path)


def _reason(error: BaseException) -> str:
    """The system's word for what went wrong, of the error or of that in whose handling it was raised."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        found = found.__cause__ or found.__context__
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint of fit, on the CPU, its history as rows.

    Raises:
        ValueError: for a file that is none, or is not whole.
    """
    checkpoint = _read(path)
    try:
        own = checkpoint["pyro_mixvae"]
        return {**checkpoint, "pyro_mixvae": {**own, "history": list(History.of_state(own["history"]))}}
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(f"resume: {path} is not a checkpoint of fit, or of another version") from error


def _read(path: str | Path) -> dict[str, Any]:
    try:
        # torch reads an archive without looking at its checksums: a flipped bit would be a weight of another size
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} is another")
        checkpoint = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise ValueError(f"resume: cannot read {path}: {error.strerror or error}") from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"resume: {path} is not a whole checkpoint: {reason}") from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"resume: {path} is not a checkpoint of fit")
    return checkpoint


def take_along(file: Path, folder: Path) -> None:
    """Copy a checkpoint, where there is one, to the folder that a training goes on in."""
    if file.is_file() and file.parent.resolve() != folder.resolve():
        folder.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        replace_file(folder / file.name, lambda copy: copy.write(content))


class EpochCheckpoint(ModelCheckpoint):
    """One file that is replaced after each epoch, or after each that is better than those before.

    Args:
        folder: where it lies; a folder that was moved since is no matter.
        name: the file's name without its ending.
        monitor: what must be lower for the file to be replaced; None: it is replaced always.
    """

    def __init__(self, folder: str | Path, name: str, monitor: str | None = None) -> None:
        super().__init__(
            folder, filename=name, monitor=monitor, save_on_train_epoch_end=True, enable_version_counter=False
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = {name: self._here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path")}
        scores = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **here, "best_k_models": scores, "dirpath": self.dirpath})
        self.current_score = state_dict["current_score"]

    def _here(self, path: str) -> str:
        return str(Path(self.dirpath or "") / Path(path).name) if path else path
