"""What a training leaves behind, and how one looks at it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer
from torch import nn

from pyro_mixvae.data import DataSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Versions that a report names.
PACKAGES = ("pyro-mixvae", "torch", "pyro-ppl", "lightning")


@dataclass(frozen=True)
class FitResult:
    """What a training leaves behind.

    Attributes:
        model: the trained model, in evaluation mode.
        history: one row for each epoch: ``epoch``, the mean of every term (``train/...``, ``validation/...``, nats
            per datum), ``learning_rate`` and ``warmup``.
        seconds: wall time of the training loop.
        trainer: Lightning's trainer.
        folder: where metrics and checkpoints were written, or None.
    """

    model: nn.Module
    history: list[dict[str, float]]
    seconds: float
    trainer: Trainer
    folder: Path | None = None

    def __repr__(self) -> str:
        last = {name: value for name, value in (self.history or [{}])[-1].items() if name.endswith("/loss")}
        losses = "".join(f", {name} {value:.2f}" for name, value in last.items())
        return f"FitResult({type(self.model).__name__}, {len(self.history)} epochs in {self.seconds:.1f} s{losses})"

    def plot(self) -> Figure:
        """Every term of the objective over the epochs, in nats per datum.

        Raises:
            ValueError: for a training without a complete epoch.
        """
        from pyro_mixvae.figures import objective_terms
        from pyro_mixvae.training.evaluation import _series

        if not self.history:
            raise ValueError("history: there is no complete epoch to show")
        return objective_terms(*_series(self.history))

    def report(self, data: DataSet | None = None, file: str | Path | None = None, **options: Any) -> Path:
        """Write a page that needs nothing else: settings, the objective's terms, and what the model is worth on data.

        Args:
            data: a data set whose held-out part the model is measured on, with pictures; None: the terms of the last
                epoch and their curves alone.
            file: the page; None: ``report.html`` in :attr:`folder`, or in the current folder where there is none.
            options: of the measuring: ``num_samples`` of the log-likelihood, ``seed``.

        Returns:
            the page's path.

        Raises:
            ValueError: for a folder that cannot be written to, a training without a complete epoch, or data for a model
                that cannot be measured on them, since it has no ``terms(x)``.
        """
        if data is not None and not isinstance(data, DataSet):
            raise ValueError(f"data: expected a DataSet or None, got {type(data).__name__}; the page's name is file=")
        if data is not None and not hasattr(self.model, "terms"):
            raise ValueError(
                f"data: {type(self.model).__name__} has no terms(x), so it cannot be measured; report(file=...) writes "
                "the curves of its training"
            )
        from pyro_mixvae.training.checks import prepare_folder
        from pyro_mixvae.training.evaluation import UNITS, evaluate
        from pyro_mixvae.training.report import png, render_report

        path = Path(file) if file is not None else (self.folder or Path()) / "report.html"
        prepare_folder(path.parent)
        name = type(self.model).__name__
        if data is None:
            table = [["last epoch", name]]
            table += [[term, f"{value:.2f}"] for term, value in (self.history or [{}])[-1].items() if "/" in term]
            pictures = {"objective": png(self.plot())}
        else:
            evaluation: Any = evaluate(self.model, data, self.history, **options)  # type: ignore[arg-type]
            table = evaluation.table(name)
            pictures = {figure: png(drawn) for figure, drawn in evaluation.figures.items()}
        facts = {
            "epochs": str(len(self.history)),
            "time": f"training {self.seconds:.1f} s",
            "versions": ", ".join(f"{p} {version(p)}" for p in PACKAGES) + f", python {platform.python_version()}",
        }
        config = getattr(self.model, "config", None)
        settings = {"class": name, **{key: _plain(value) for key, value in (config or {}).items()}}
        description = f"{name} after {len(self.history)} epochs"
        page = render_report(name, description, table, UNITS, pictures, {"model": settings}, facts)
        path.write_text(page, encoding="utf-8")
        return path


def _plain(value: Any) -> Any:
    """A setting as YAML can show it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
