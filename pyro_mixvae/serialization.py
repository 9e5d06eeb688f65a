"""Models as files: a JSON configuration beside safetensors, and nothing that could run."""

from __future__ import annotations

import inspect
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from pyro_mixvae import models

FORMAT = "pyro_mixvae"
SCHEMA = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"

#: A configuration is a page of text; anything longer is not one of ours.
MAX_CONFIG_BYTES = 2**20
SAFETENSORS_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def save(model: nn.Module, folder: str | Path) -> Path:
    """Write a model to a folder, as ``config.json`` and ``model.safetensors``.

    Both files are written under a temporary name and then renamed. Networks that were passed to the model as modules
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
        raise ValueError(f"model: {type(model).__name__} has no 'config' (a mapping of its constructor's arguments)")
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
            save_file(state, Path(temporary) / WEIGHTS)
            (Path(temporary) / CONFIG).write_text(text)
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
            than the model has, or weights that are not finite. Nothing is half-loaded.
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
    with torch.device("meta"):
        shell = _build(cls, arguments, dtype, folder)
    _compare(shell, folder / WEIGHTS)
    del shell
    try:
        state = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{folder / WEIGHTS}: not a safetensors file: {error}") from error
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{folder / WEIGHTS}: '{name}' holds values that are not finite")
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
        OverflowError,
        AttributeError,
        KeyError,
        IndexError,
    ) as error:
        raise ValueError(f"{folder / CONFIG}: {cls.__name__} cannot be built from it: {_first_line(error)}") from error
    return model if dtype is None else model.to(dtype)


def _first_line(error: Exception) -> str:
    """What went wrong, without the stack of C++ functions that torch may add."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _compare(model: nn.Module, path: Path) -> None:
    """Names, shapes and types of a model's state against the header of a safetensors file."""
    expected = {name: (list(value.shape), value.dtype) for name, value in model.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            found = {
                name: (list(part.get_shape()), SAFETENSORS_TYPES.get(part.get_dtype())) for name, part in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a safetensors file: {error}") from error
    missing, surplus = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or surplus:
        raise ValueError(f"{path}: missing {missing[:5] or 'nothing'}, unknown {surplus[:5] or 'nothing'}")
    for name, (shape, dtype) in expected.items():
        if found[name] != (shape, dtype):
            held = f"{found[name][0]} of type {found[name][1]}"
            raise ValueError(f"{path}: '{name}' is {held}, but the configuration needs {shape} of type {dtype}")
