"""What all models share: a name of their own, checks at the boundary, terms and importance sampling."""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.infer.elbo import ELBO
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_mixvae.infer.param_statements import param_statements_are_needless, without_param_statements
from pyro_mixvae.models.log_likelihood import LogLikelihood, importance_sampled
from pyro_mixvae.models.own_name import OwnName
from pyro_mixvae.models.summary import in_a_line, in_a_table
from pyro_mixvae.nn import NetworkSpec, build_likelihood, build_network

#: How many numbers importance sampling holds at once: draws x data x values of one datum.
CHUNK = 2**22


class MixtureVAE(OwnName):
    """A Pyro model/guide pair with a decoder p(x | z).

    Subclasses define ``model`` and ``guide`` as :func:`~pyro.nn.module.pyro_method`, :meth:`objective`,
    :meth:`encode`, :meth:`decode`, :meth:`sample` and :meth:`log_weights`; the rest follows. Every constructor
    argument is kept under its own name, so that :attr:`config` rebuilds the model.

    Args:
        event_shape: shape of one datum; data are [B, \\*event_shape].
        likelihood: ``"bernoulli"``, ``"normal"`` or a mapping such as ``{"name": "normal", "scale": 0.1}``.

    Raises:
        ValueError: for a shape without a positive size, or an unknown likelihood.
    """

    #: Readable names of the objective's terms, by site.
    term_names: ClassVar[Mapping[str, str]] = {"x": "reconstruction"}

    #: N, for a model with variables of all data: its plate ``"data"`` scales a batch to all of them.
    num_data: int | None = None

    #: Constructor arguments that concern the objective: a recipe's section of that name.
    objective_options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, event_shape: Sequence[int], likelihood: str | Mapping[str, Any]) -> None:
        super().__init__()
        if not isinstance(event_shape, Sequence):
            raise ValueError(f"event_shape: expected a sequence of sizes, got {event_shape!r}")
        if not event_shape or any(size < 1 for size in event_shape):
            raise ValueError(f"event_shape: expected sizes >= 1, got {tuple(event_shape)}")
        self.event_shape = tuple(int(size) for size in event_shape)
        self.likelihood = likelihood
        self.observation = build_likelihood(likelihood, self.event_shape)
        self.network_specs: dict[str, Any] = {}

    def _network(self, name: str, spec: NetworkSpec, in_shape: Sequence[int], out_shape: Sequence[int]) -> nn.Module:
        """Build a network and keep its description for :attr:`config`."""
        if isinstance(spec, Mapping):
            self.network_specs[name] = dict(spec)
        return build_network(spec, in_shape, out_shape, name)

    def __getattr__(self, name: str) -> Any:
        if param_statements_are_needless():
            module = self.__dict__.get("_modules", {}).get(name)
            if module is not None and not isinstance(module, PyroModule):
                return module
        return super().__getattr__(name)

    # --- what a subclass defines -------------------------------------------------------------------------------------

    @abstractmethod
    def objective(self) -> ELBO:
        """The paper's objective with its final weights: an ELBO object for ``model`` and ``guide``."""

    @abstractmethod
    def encode(self, x: Tensor) -> Any:
        """The guide's q(z | x) for data [B, \\*event_shape]."""

    @abstractmethod
    def decode(self, z: Tensor) -> dist.TorchDistribution:
        """The likelihood p(x | z) for codes [\\*, latent_dim]."""

    @abstractmethod
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | z) at the posterior mean of z, [B, \\*event_shape]."""

    @abstractmethod
    def sample(self, n: int, component: int | None = None) -> Tensor:
        """The decoder's mean at n draws from the prior, [n, \\*event_shape]."""

    @abstractmethod
    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """log p(x, z) - log q(z | x) at draws z ~ q(z | x), discrete variables summed out: [num_samples, B]."""

    # --- what follows ------------------------------------------------------------------------------------------------

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without networks that were passed as modules."""
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        arguments = {name: self.network_specs.get(name, getattr(self, name)) for name in names}
        return {name: value for name, value in arguments.items() if not isinstance(value, nn.Module)}

    def __repr__(self) -> str:
        try:
            return in_a_line(self, self.config)
        except AttributeError:
            # half made, or a user's own class that does not keep its arguments
            return super().__repr__()

    def summary(self) -> str:
        """The model's settings and, for each of its parts, how many numbers are trained: text to print.

        Kept are those numbers that no gradient moves: batch norm's statistics, or a posterior of natural gradients.
        """
        return in_a_table(self, self.config)

    def check(self, x: Tensor, y: Tensor | None = None, num_classes: int | None = None) -> None:
        """Refuse data that the model cannot be trained on.

        Args:
            x: data, [B, \\*event_shape].
            y: labels, [B], integers in -1..C-1 where -1 stands for missing.
            num_classes: C, where known.

        Raises:
            ValueError: for a wrong shape, non-finite values, values outside the likelihood's support, or labels that
                are not integers or lie outside their range.
        """
        self.observation.check(x)
        if y is None:
            return
        if y.shape[:1] != x.shape[:1]:
            raise ValueError(f"y: expected one label for each of {len(x)} data, got shape {list(y.shape)}")
        if y.is_floating_point():
            raise ValueError(f"y: expected integer labels, got {y.dtype}")
        if y.numel() and (y.min() < -1 or (num_classes is not None and y.max() >= num_classes)):
            allowed = ">= -1" if num_classes is None else f"in -1..{num_classes - 1}"
            raise ValueError(f"y: expected labels {allowed}, got labels in {y.min()}..{y.max()}")

    @torch.no_grad()
    def terms(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """The objective's terms by readable name, each [B] or a scalar; their sum is the loss, in nats per datum.

        Raises:
            ValueError: as :meth:`check`.
        """
        self.check(x, y)
        with _evaluation(self), without_param_statements():
            _, terms = self.objective().loss_and_terms(self.model, self.guide, x, y, per_datum=True)
        ordered = [site for site in self.term_names if site in terms]
        ordered += [site for site in terms if site not in self.term_names]
        return {self.term_names.get(site, site): self._per_datum(terms[site], len(x)) for site in ordered}

    def _per_datum(self, term: Tensor, batch_size: int) -> Tensor:
        """A term without the scale of a plate that stands for all N data: the data's own, or its share of the rest."""
        if self.num_data is None:
            return term
        return term * batch_size / self.num_data if term.dim() else term / self.num_data

    def log_likelihood(self, x: Tensor, num_samples: int = 1000) -> Tensor:
        """An importance-sampled estimate of log p(x), [B], in nats; see :meth:`log_likelihood_with_error`."""
        return self.log_likelihood_with_error(x, num_samples).value

    @torch.no_grad()
    def log_likelihood_with_error(self, x: Tensor, num_samples: int = 1000) -> LogLikelihood:
        r"""An importance-sampled estimate of log p(x) in nats, a lower bound in expectation, and its standard error.

        .. math:: \log p(x) \approx \log \frac{1}{S} \sum_{s=1}^S \frac{p(x, z_s)}{q(z_s \mid x)},
            \qquad z_s \sim q(z \mid x)

        Args:
            x: data, [B, \*event_shape].
            num_samples: S; memory is bounded whatever it is.

        Returns:
            ``value`` and ``error``, [B] each; ``mean`` and ``mean_error`` over the data.

        Raises:
            ValueError: for no data, data outside the likelihood's support or ``num_samples`` below 1.

        Source: Cauchy-Schwarz paper, equation 28; Burda et al. (2016).
        """
        self.observation.check(x)
        if num_samples < 1:
            raise ValueError(f"num_samples: expected an integer >= 1, got {num_samples}")
        if not len(x):
            raise ValueError("x: expected one datum at least, got none")
        values = math.prod(self.event_shape)
        parts = []
        with _evaluation(self):
            for part in x.split(max(1, CHUNK // (values * min(num_samples, 100)))):
                draws = max(1, CHUNK // (values * len(part)))
                parts.append(importance_sampled(partial(self.log_weights, part), num_samples, draws))
        return LogLikelihood(*map(torch.cat, zip(*parts, strict=True)))


@contextmanager
def _evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while: batch norm uses its running statistics and leaves them alone."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def evaluating(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method that only looks: no gradients, evaluation mode, and the module as it was afterwards."""

    def wrapped(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad(), _evaluation(self):
            return method(self, *args, **kwargs)

    wrapped.__doc__, wrapped.__name__ = method.__doc__, method.__name__
    wrapped.__wrapped__ = method  # type: ignore[attr-defined]
    return wrapped
