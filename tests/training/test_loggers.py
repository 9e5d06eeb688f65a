"""Loggers by one option, and what fit leaves behind."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from pyro_mixvae.data import load
from pyro_mixvae.models import VAE
from pyro_mixvae.training import fit
from pyro_mixvae.training.result import FitResult

SMALL = {"kind": "mlp", "hidden_dims": [8]}


def small_fit(out=None, **options):
    model = VAE((1, 8, 8), latent_dim=2, encoder=SMALL, decoder=SMALL)
    return fit(model, torch.rand(30, 1, 8, 8), max_epochs=2, seed=0, progress=False, out=out, **options)


def test_tensorboard_holds_every_term(tmp_path):
    pytest.importorskip("tensorboard")
    result = small_fit(tmp_path, logger="tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    terms = [name for name in result.history[0] if name.startswith("train/")]
    assert set(terms) <= set(events.Tags()["scalars"])
    written = [event.value for event in events.Scalars("train/loss")]
    assert written == pytest.approx([row["train/loss"] for row in result.history])
    assert (tmp_path / "metrics.csv").exists()


def test_a_logger_of_one_s_own_and_several(tmp_path):
    small_fit(tmp_path / "run", logger=["csv", CSVLogger(tmp_path / "mine", name="", version="")])
    assert list((tmp_path / "mine").rglob("metrics.csv"))
    assert (tmp_path / "run" / "metrics.csv").exists()


def test_bad_loggers_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="did you mean tensorboard"):
        small_fit(tmp_path, logger="tensorbord")
    with pytest.raises(ValueError, match="give out"):
        small_fit(logger="csv")
    if importlib.util.find_spec("wandb") is None:
        with pytest.raises(ValueError, match="pip install wandb"):
            small_fit(tmp_path, logger="wandb")


def test_result_shows_itself(tmp_path):
    result = small_fit(tmp_path)
    assert repr(result).startswith("FitResult(VAE, 2 epochs in ")
    figure = result.plot()
    drawn = {axes.get_title() for axes in figure.axes}
    assert {"reconstruction", "divergence"} <= {name.lower() for name in drawn}
    page = result.report()
    assert page == tmp_path / "report.html"
    text = page.read_text()
    assert f"{result.history[-1]['train/loss']:.2f}" in text
    assert "latent_dim: 2" in text
    assert "data:image/png;base64" in text


def test_report_measures_the_model_on_held_out_data(tmp_path):
    result = small_fit()
    page = result.report(load("digits"), tmp_path / "digits.html", num_samples=5)
    assert "log-likelihood" in page.read_text()


def test_a_report_of_what_cannot_be_measured(tmp_path):
    class Pair(torch.nn.Module):
        pass

    result = FitResult(Pair(), [{"epoch": 0, "train/loss": 1.0}], 0.1, trainer=None)
    with pytest.raises(ValueError, match=r"data: expected a DataSet or None, got str; the page's name is file="):
        result.report("page.html")
    with pytest.raises(ValueError, match=r"data: Pair has no terms\(x\)"):
        result.report(load("digits"))
    assert result.report(file=tmp_path / "page.html").exists()
