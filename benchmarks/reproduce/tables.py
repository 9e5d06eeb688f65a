"""The tables, with the papers' numbers as SPEC quotes them."""

from __future__ import annotations

from benchmarks.reproduce.table import Row, Table

MOST_CONFIDENT, ONE_TO_ONE = "accuracy (most-confident)", "accuracy (one-to-one)"
NEIGHBOURS = tuple(f"kNN error, k = {k} (%)" for k in (3, 5, 10))


def _gmvae(k: int, m: int, paper: float) -> Row:
    return Row(
        f"k{k}-m{m}",
        f"K = {k}, M = {m}",
        "gmvae-mnist-mlp",
        {"model.num_components": k, "objective.num_particles": m},
        {MOST_CONFIDENT: paper / 100},
        "fully connected networks; the paper's are convolutional",
    )


GMVAE = Table(
    "Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders: MNIST, accuracy without labels",
    (MOST_CONFIDENT, ONE_TO_ONE, "NMI", "ARI", "used clusters", "log-likelihood"),
    (
        _gmvae(10, 1, 77.78),
        _gmvae(10, 10, 82.31),
        _gmvae(16, 1, 85.09),
        _gmvae(16, 10, 87.82),
        _gmvae(30, 1, 92.77),
        _gmvae(30, 10, 89.27),
    ),
    "Settings are those of the recipe `gmvae-mnist-mlp`; none was chosen by the test images' labels, and no run is left out.",
)


def _csrae(name: str, title: str, recipe: str, options: dict[str, object], paper: tuple[float, ...]) -> Row:
    return Row(name, title, recipe, options, dict(zip(NEIGHBOURS, paper, strict=False)))


CSRAE = Table(
    "Cauchy-Schwarz Regularized Autoencoder: dynamic MNIST, kNN error of the codes",
    (*NEIGHBOURS, "log-likelihood", "reconstruction error"),
    (
        _csrae("vae", "VAE, z = 10", "vae-mnist", {"model.latent_dim": 10}, (5.20, 4.78, 4.52)),
        _csrae(
            "vampprior",
            "VampPrior, z = 20, K = 400",
            "vampprior-mnist",
            {"model.latent_dim": 20, "model.num_components": 400},
            (3.98, 3.87, 3.77),
        ),
        _csrae("csrae", "CSRAE, z = 10", "csrae-mnist", {"model.latent_dim": 10}, (4.22, 3.93, 3.81)),
        _csrae(
            "mixture-csrae",
            "Mixture-CSRAE, z = 20, K = 400",
            "mixture-csrae-mnist",
            {"model.latent_dim": 20, "model.num_components": 400},
            (2.98, 2.95, 2.94),
        ),
    ),
    "Settings are the paper's; early stopping looks at the 5,000 validation images.",
)

FACTORIAL = Table(
    "A Factorial Mixture Prior for Compositional Deep Generative Models: binarised MNIST, the bound against K (figure 3)",
    ("loss", "reconstruction", "kl_z", "kl_r", "log-likelihood"),
    tuple(
        Row(
            f"k{k}",
            f"I = 1, K = {k}",
            "factorial-mnist",
            {"model.num_components": k},
            {"loss": 85.77} if k == 512 else {},
        )
        for k in (1, 16, 64, 512)
    ),
    "Settings are those of the recipe `factorial-mnist`.",
)

MVAE = Table(
    "Deep Mixture Generative Autoencoders: MNIST, the number of components (table VI)",
    (
        "selected K (masks >= 0.5)",
        "selected K (masks >= 0.8)",
        "reconstruction error",
        "mean pairwise dHSIC",
        "kNN accuracy, all codes (%)",
        "kNN accuracy, best component (%)",
    ),
    (
        Row("gau", "MVAE-Gau", "mvae-mnist-gau"),
        Row("gs", "MVAE-GS", "mvae-mnist-gs", paper={"reconstruction error": 7.30}),
        Row("fixed", "MVAE, fixed K", "mvae-mnist-fixed"),
    ),
    "Settings are those of the recipes; see mvae_mnist.md for table V, the classifiers.",
)

MPVAE = Table(
    "How to train your VAE: Frey faces",
    ("sharpness", "reconstruction error", "mean posterior sigma"),
    (
        Row("mpvae", "MixturePosteriorVAE", "mpvae-freyfaces"),
        Row("no-adversary", "the same without an adversary", "mpvae-freyfaces", {"model.adversarial": "false"}),
    ),
    "Settings are those of the recipe; see mpvae_freyfaces.md for the standard VAE beside it.",
)

TABLES = {"gmvae": GMVAE, "csrae": CSRAE, "factorial": FACTORIAL, "mvae": MVAE, "mpvae": MPVAE}
