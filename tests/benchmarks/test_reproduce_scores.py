"""What the papers' tables measure beside a run's own evaluation."""

from __future__ import annotations

import pytest
import torch

from benchmarks.reproduce.scores import bound_scores, code_scores, sharp_scores
from pyro_mixvae.metrics import component_classification
from pyro_mixvae.models.mvae_analysis import latent_codes
from pyro_mixvae.training.evaluation import evaluate
from pyro_mixvae.training.recipe import read_recipe
from pyro_mixvae.training.run import build_model, open_data


def untrained(name):
    recipe = read_recipe(name)
    data = open_data(recipe)
    return recipe, data, build_model(recipe, data, 0)


def test_the_bound_of_a_vae_is_its_loss():
    recipe, data, model = untrained("vae-digits")
    found = bound_scores(model, recipe, None)
    assert found["bound"] == pytest.approx(found["E log p(x|z)"] - found["KL[z]"])
    # one draw of z each, here and there
    assert found["bound"] == pytest.approx(-evaluate(model, data, num_samples=2).results["loss"], abs=0.5)


def test_the_bound_of_a_factorial_mixture_has_four_parts_and_is_below_the_likelihood():
    recipe, data, model = untrained("factorial-digits")
    found = bound_scores(model, recipe, None)
    assert found["bound"] == pytest.approx(found["E log p(x|z)"] - found["KL[z]"] - found["KL[r]"], abs=1e-3)
    torch.manual_seed(0)
    assert found["bound"] < model.log_likelihood(data.test.values(), 100).mean().item()


def test_the_caller_keeps_the_random_state():
    recipe, _, model = untrained("vae-digits")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    bound_scores(model, recipe, None)
    assert torch.rand(1) == expected


def test_what_is_copied_is_sharp():
    recipe, _, model = untrained("mpvae-digits")

    class Copy:
        encode = staticmethod(model.encode)

        @staticmethod
        def reconstruct(x):
            return x

    found = sharp_scores(Copy(), recipe, None)
    assert found["sharpness"] == pytest.approx(1.0)
    assert found["reconstruction L1"] == 0.0
    assert found["mean posterior sigma"] > 0
    assert sharp_scores(model, recipe, None)["reconstruction L1"] > 0.05


def test_codes_that_hold_the_label_are_classified_by_all():
    recipe, data, _ = untrained("vae-digits")

    class Knowing:
        """Its codes are the label, one-hot, looked up by the image."""

        def __init__(self):
            both = torch.cat([part.values() for part in data.parts().values()])
            self.known = dict(
                zip(map(bytes, both.numpy()), torch.cat([p.y for p in data.parts().values()]), strict=True)
            )

        def encode(self, x):
            labels = torch.stack([self.known[bytes(image)] for image in x.numpy()]).float()
            return torch.distributions.Normal(torch.nn.functional.one_hot(labels.long(), 10).float(), 1.0)

    found = code_scores(Knowing(), recipe, None)
    assert found == {
        f"{name}, {which} (%)": 100.0
        for which in ("all codes", "best component")
        for name in ("MLP", "linear SVM", "kNN")
    }


def test_all_components_are_classified_and_the_best_is_told():
    recipe, data, model = untrained("mvae-digits")
    found = code_scores(model, recipe, None)
    alone = component_classification(
        latent_codes(model, data.train.values()), data.train.y, latent_codes(model, data.test.values()), data.test.y
    )
    assert found["kNN, all codes (%)"] == alone["mixture"]["kNN"]
    assert found["MLP, best component (%)"] == max(scores["MLP"] for name, scores in alone.items() if name != "mixture")
