"""What comes before the training proper: networks are trained by themselves, and a mixture starts from their codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_mixvae.data import Batches, DataSet, as_float
from pyro_mixvae.models import FactorialMixtureVAE, SemiSupervisedCSRAE
from pyro_mixvae.training.batching import as_data_set
from pyro_mixvae.training.checks import check_number_of_data
from pyro_mixvae.training.fit import fit

#: Data whose codes are looked at for the components' first means.
MAX_CODES = 10_000
#: Data that go through the encoder at once.
BATCH = 500
#: What starts fit's later phase and is no business of the first.
LATER = ("schedule", "warmup", "patience", "out", "resume", "logger")
#: What a phase without labels has no use for.
OF_LABELS = ("labelled_per_batch", "balanced")


def first_phases(model: Any, data: Tensor | tuple[Tensor, ...] | DataSet, **options: Any) -> None:
    """What a recipe's trainer section says of the time before the training proper.

    Args:
        model: one with ``pretraining()``.
        data, options: as for :func:`start_mixture` or :func:`train_without_labels`, whichever the model takes.
    """
    if isinstance(model, FactorialMixtureVAE):
        start_mixture(model, data, **options)
    else:
        train_without_labels(model, data, **options)


def train_without_labels(
    model: SemiSupervisedCSRAE,
    data: Tensor | tuple[Tensor, ...] | DataSet,
    *,
    pretraining_epochs: int,
    batch_size: int = 100,
    seed: int = 0,
    **options: Any,
) -> None:
    """The first of two phases: the autoencoder alone; :func:`fit` with labels comes after it, without a warm-up.

    Args:
        model: the semi-supervised model.
        data: as for :func:`fit`; labels are not used.
        pretraining_epochs: its length.
        batch_size: data in a batch.
        seed: of everything random here; the caller's random state is left alone.
        options: further arguments of :func:`fit`; a warm-up belongs to this phase.

    Raises:
        ValueError: for a negative number of epochs.

    Source: Tran, Pantic, Deisenroth, appendix B.2.
    """
    if pretraining_epochs < 0:
        raise ValueError(f"pretraining_epochs: expected an integer >= 0, got {pretraining_epochs}")
    left_out = (*LATER, *OF_LABELS, "max_epochs")
    first = {name: value for name, value in options.items() if name not in left_out or name == "warmup"}
    if pretraining_epochs:
        phase = model.pretraining()
        fit(phase, as_data_set(data), max_epochs=pretraining_epochs, batch_size=batch_size, seed=seed, **first)


def start_mixture(
    model: FactorialMixtureVAE,
    data: Tensor | tuple[Tensor, ...] | DataSet,
    *,
    pretraining_epochs: int = 0,
    pretraining_kl: float | None = None,
    seeding_epochs: int = 0,
    batch_size: int = 100,
    seed: int = 0,
    **options: Any,
) -> None:
    """Pretrain the networks with a N(0, I) prior, spread the components over the encoded data, and seed q(xi).

    Where xi is parameters (VaDE), the networks are pretrained without any prior, as an autoencoder, and the parameters
    are those of a Gaussian mixture fitted to the codes. After this, :func:`fit` trains all together.

    Args:
        model: the factorial mixture.
        data: as for :func:`fit`; labels clamp the components of labelled factors in the seeding.
        pretraining_epochs: epochs of gradient steps on the networks alone; 0 leaves them as they are.
        pretraining_kl: weight of the KL to N(0, I) in that; less than 1 leaves clusters of codes further apart. None:
            1, or 0 where xi is parameters.
        seeding_epochs: epochs of natural-gradient steps on q(xi) alone, which count in the later step lengths.
        batch_size: data in a batch.
        seed: of everything random here; the caller's random state is left alone.
        options: further arguments of :func:`fit`, for the pretraining.

    Raises:
        ValueError: for negative numbers of epochs, or another number of data than the model was made for.

    Source: Paquet, Ghaisas, Tieleman, section 2.4 (last paragraph) and appendix E; Jiang et al. (2017), section 3.
    """
    for name, epochs in {"pretraining_epochs": pretraining_epochs, "seeding_epochs": seeding_epochs}.items():
        if epochs < 0:
            raise ValueError(f"{name}: expected an integer >= 0, got {epochs}")
    data_set = as_data_set(data)
    check_number_of_data(model, len(data_set.train))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if pretraining_epochs:
            first = {name: value for name, value in options.items() if name not in (*LATER, "max_epochs")}
            plain = model.pretraining(pretraining_kl)
            fit(plain, data_set, max_epochs=pretraining_epochs, batch_size=batch_size, seed=seed, **first)
        model.eval()
        _spread(model, data_set, seed)
        like = next(model.parameters())
        batches = Batches(
            data_set.train,
            batch_size,
            seed=seed,
            transform=data_set.transform,
            device=like.device,
            dtype=like.dtype,
        )
        for epoch in range(seeding_epochs if model.natural_posteriors() else 0):
            batches.set_epoch(epoch)
            for step, batch in enumerate(batches):
                model.after_step(batch, step)


@torch.no_grad()
def _spread(model: FactorialMixtureVAE, data: DataSet, seed: int) -> None:
    """Components apart from each other and where the codes are, factor by factor."""
    from sklearn.cluster import kmeans_plusplus
    from sklearn.mixture import GaussianMixture

    like = next(model.parameters())
    # data in files are often in the order of their classes
    rows = torch.randperm(len(data.train))[:MAX_CODES].sort().values
    x = as_float(data.train.x[rows], value_range=data.train.value_range).to(like)
    codes = [torch.cat(parts) for parts in zip(*(_means(model, batch) for batch in x.split(BATCH)), strict=True)]
    for factor, (code, size) in enumerate(zip(codes, model.prior.num_components, strict=True)):
        if len(code) < size:
            raise ValueError(f"num_components: factor {factor} has {size}, more than the {len(code)} data")
        values = code.double().cpu().numpy()
        if model.xi == "parameters":
            mixture = GaussianMixture(size, covariance_type="diag", reg_covar=1e-4, random_state=seed).fit(values)
            weights, locs, variances = (
                torch.from_numpy(part).to(like) for part in (mixture.weights_, mixture.means_, mixture.covariances_)
            )
            model.start_at(factor, locs, variances.sqrt(), weights)
        else:
            chosen = torch.from_numpy(kmeans_plusplus(values, size, random_state=seed)[1])
            locs = code[chosen.to(code.device)]
            nearest = torch.cdist(code, locs).argmin(-1)
            spread = (code - locs[nearest]).square().mean(0).sqrt()
            model.start_at(factor, locs, spread.clamp(min=1e-2 * code.std(0)))


def _means(model: FactorialMixtureVAE, x: Tensor) -> list[Tensor]:
    return [q.mean for q in model.encode(x).values()]
