"""Models as files: a JSON configuration beside safetensors, and nothing that could run."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.overrides import TorchFunctionMode

from pyro_mixvae import models

FORMAT = "pyro_mixvae"
SCHEMA = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"

#: A configuration is a page of text; anything longer is not one of ours.
MAX_CONFIG_BYTES = 2**20
#: Calls of torch that building a model may take: these, and so many for each tensor of its file.
CALLS, CALLS_PER_TENSOR = 2_000, 50
SAFETENSORS_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def save(model: nn.Module, folder: str | Path) -> Path:
    """Write a model to a folder, as ``config.json`` and ``model.safetensors``.

    Both files are written under a temporary name and then renamed; the weights carry their SHA-256, so that a file of
    which a single bit has changed is refused. Networks that were passed to the model as modules
    are kept by their weights only: whoever loads it passes such modules again.

    Args:
        model: one of the package's models, or a user's own with a ``config`` of JSON-able constructor arguments.
        folder: made if need be.

    Returns:
        the folder.

    Raises:
        ValueError: for a model without ``config``, a configuration that is not JSON, or a folder that cannot be
            written to.
    """
    config = getattr(model, "config", None)
    if not isinstance(config, Mapping):
        raise ValueError(
            f"model: {type(model).__name__} has no 'config': set self.config to a dictionary of its constructor's "
            "arguments, or keep its state_dict()"
        )
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    floating = {str(value.dtype).removeprefix("torch.") for value in state.values() if value.is_floating_point()}
    description = {
        "format": FORMAT,
        "schema": SCHEMA,
        "class": type(model).__name__,
        "dtype": floating.pop() if len(floating) == 1 else None,
        "config": dict(config),
    }
    try:
        text = json.dumps(description, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"model: the configuration of {type(model).__name__} is not JSON: {error}") from error
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            save_file(state, Path(temporary) / WEIGHTS, metadata={"sha256": _fingerprint(state)})
            (Path(temporary) / CONFIG).write_text(text, encoding="utf-8")
            # safetensors writes for the owner alone
            (Path(temporary) / WEIGHTS).chmod((Path(temporary) / CONFIG).stat().st_mode & 0o777)
            os.replace(Path(temporary) / WEIGHTS, folder / WEIGHTS)
            os.replace(Path(temporary) / CONFIG, folder / CONFIG)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"folder: cannot write to {folder}: {error}") from error
    return folder


def load(
    folder: str | Path, cls: type[nn.Module] | None = None, networks: Mapping[str, nn.Module] | None = None
) -> Any:
    """Read a model that :func:`save` wrote, in evaluation mode, on the CPU.

    No code is run from the file: the class is one of the package's, or the caller's ``cls``. The model is first built
    without memory, and its names, shapes and types are compared with the file before anything is allocated.

    Args:
        folder: where the two files are.
        cls: a user's own class.
        networks: modules for the constructor's arguments of that name, as they were passed at first.

    Returns:
        the model.

    Raises:
        ValueError: for a missing, damaged or foreign file, an unknown class or argument, other names, shapes or types
            than the model has, or weights that are not finite or not those that were saved. Nothing is half-loaded.
    """
    folder = Path(folder)
    description = _read_description(folder / CONFIG)
    cls = cls or _known_class(description)
    arguments = {**description["config"], **(networks or {})}
    taken = inspect.signature(cls.__init__).parameters
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values())
    unknown = arguments.keys() - taken.keys()
    if unknown and not takes_any:
        raise ValueError(f"{folder / CONFIG}: {cls.__name__} takes no argument {', '.join(map(repr, sorted(unknown)))}")
    dtype = _dtype(description, folder / CONFIG)
    header, fingerprint = _read_header(folder / WEIGHTS)
    with _FewCalls(CALLS + CALLS_PER_TENSOR * len(header)), torch.device("meta"):
        shell = _build(cls, arguments, dtype, folder)
    _compare(shell, header, folder / WEIGHTS)
    del shell
    try:
        state = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{folder / WEIGHTS}: not a safetensors file: {error}") from error
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{folder / WEIGHTS}: '{name}' holds values that are not finite")
    if fingerprint is not None and fingerprint != _fingerprint(state):
        raise ValueError(f"{folder / WEIGHTS}: damaged: these are not the weights that were saved")
    # initial weights are drawn and then replaced: the caller's random state is left alone
    with torch.random.fork_rng(devices=[]):
        model = _build(cls, arguments, dtype, folder)
    model.load_state_dict(state)
    return model.eval()


def _read_description(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_CONFIG_BYTES else b""
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; is {path.parent} a saved model?") from error
    if size > MAX_CONFIG_BYTES:
        raise ValueError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes, so not a model's configuration")
    try:
        description = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"{path}: not a configuration written by pyro_mixvae.save")
    if description.get("schema") != SCHEMA or isinstance(description["schema"], bool):
        raise ValueError(f"{path}: schema {description.get('schema')!r}; this version reads {SCHEMA}")
    if not isinstance(description.get("config"), dict) or not isinstance(description.get("class"), str):
        raise ValueError(f"{path}: 'config' must be an object and 'class' a name")
    return description


def _known_class(description: dict[str, Any]) -> type[nn.Module]:
    name = description["class"]
    if name not in models.__all__ or name == "MixtureVAE":
        known = ", ".join(sorted(set(models.__all__) - {"MixtureVAE"}))
        raise ValueError(f"class: {name!r} is not one of the package's ({known}); pass your own class as cls=")
    return getattr(models, name)


def _dtype(description: dict[str, Any], path: Path) -> torch.dtype | None:
    name = description.get("dtype")
    if name is None:
        return None
    allowed = ("float64", "float32", "bfloat16", "float16")
    if name not in allowed:
        raise ValueError(f"{path}: dtype {name!r}; expected one of {', '.join(allowed)}")
    return getattr(torch, name)


def _build(cls: type[nn.Module], arguments: dict[str, Any], dtype: torch.dtype | None, folder: Path) -> nn.Module:
    try:
        model = cls(**arguments)
    except (
        TypeError,
        ValueError,
        RuntimeError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
    ) as error:
        why = f"{cls.__name__} cannot be built from it: {_first_line(error)}{_left_out(cls, arguments)}"
        raise ValueError(f"{folder / CONFIG}: {why}") from error
    return model if dtype is None else model.to(dtype)


def _left_out(cls: type[nn.Module], arguments: dict[str, Any]) -> str:
    """What a configuration does not hold, be it that it was a module."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    taken = [name for name, each in inspect.signature(cls).parameters.items() if each.kind in kinds]
    left_out = [name for name in taken if name not in arguments]
    if not left_out:
        return ""
    return f"; not in it: {', '.join(left_out)}; what was passed as a module has to be passed again by networks="


def _first_line(error: Exception) -> str:
    """What went wrong, without the stack of C++ functions that torch may add."""
    return (str(error).splitlines() or [type(error).__name__])[0]


class _FewCalls(TorchFunctionMode):
    """Lets a model be built of a number of parts that fits its file, and not of any number that a damaged one names."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.left = limit

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError("it describes many more parts than its file holds tensors for")
        return func(*args, **(kwargs or {}))


def _fingerprint(state: Mapping[str, torch.Tensor]) -> str:
    """The SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


Header = dict[str, tuple[list[int], torch.dtype | None]]


def _read_header(path: Path) -> tuple[Header, str | None]:
    """Names, shapes and types of the tensors in a safetensors file, and their fingerprint where it holds one."""
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            header = {
                name: (list(part.get_shape()), SAFETENSORS_TYPES.get(part.get_dtype())) for name, part in slices.items()
            }
            return header, (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a safetensors file: {error}") from error


def _compare(model: nn.Module, found: Header, path: Path) -> None:
    """Names, shapes and types of a model's state against the header of a safetensors file."""
    expected = {name: (list(value.shape), value.dtype) for name, value in model.state_dict().items()}
    missing, surplus = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or surplus:
        raise ValueError(
            f"{path}: missing {missing[:5] or 'nothing'}, unknown {surplus[:5] or 'nothing'}; a network that was "
            "passed to the model as a module has to be passed again: networks={'encoder': ...}"
        )
    for name, (shape, dtype) in expected.items():
        if found[name] != (shape, dtype):
            held = f"{found[name][0]} of type {found[name][1]}"
            raise ValueError(f"{path}: '{name}' is {held}, but the configuration needs {shape} of type {dtype}")
