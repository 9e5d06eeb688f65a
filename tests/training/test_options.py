"""Options of a recipe: each explained, of the right type, and readable in a narrow terminal."""

from __future__ import annotations

import pytest

from pyro_mixvae.data.loading import SOURCES
from pyro_mixvae.training.options import apply_options, recipe_parser
from pyro_mixvae.training.recipe import read_recipe, recipe_names


@pytest.fixture
def recipe(tiny, write_recipe):
    return read_recipe(write_recipe(tiny))


def actions(parser):
    return [action for action in parser._actions if action.option_strings]


@pytest.mark.parametrize("name", recipe_names())
def test_every_option_has_help_text(name):
    without = [action.option_strings[0] for action in actions(recipe_parser(read_recipe(name))) if not action.help]
    assert not without


@pytest.mark.parametrize("source", SOURCES)
def test_every_data_option_has_help_text(recipe, source):
    parser = recipe_parser(recipe, f"{source}:x" if source in ("npy", "folder") else source)
    data = [action for action in actions(parser) if action.option_strings[0].startswith("--data.")]
    assert len(data) >= 3
    assert not [action.option_strings[0] for action in data if not action.help]


def test_options_of_the_chosen_data_are_offered(recipe):
    names = {action.option_strings[0] for action in actions(recipe_parser(recipe, "arcs"))}
    assert {"--data.num_points", "--data.noise"} <= names
    assert not {"--data.seed", "--data.data_dir", "--data.path"} & names
    changed, _ = apply_options(recipe, ["--data.name=arcs", "--data.num_points", "50"])
    assert changed.sections["data"] == {"name": "arcs", "batch_size": 500, "num_points": 50}


def test_help_fits_80_columns_and_names_no_inner_things(recipe, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as exit_:
        apply_options(recipe, ["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 200
    for word in ("known subclasses", "``", "\\*", "CONFIG", "CLASS_PATH", "Union[str", "torch.nn"):
        assert word not in text, word
    for heading in ("model: GMVAE:", "objective:", "data:", "optimizer:", "trainer:"):
        assert f"\n{heading}\n" in text
    assert "folder:PATH" in text


def test_recipes_settings_are_the_defaults(recipe):
    changed, chosen = apply_options(recipe, [])
    assert changed.sections == recipe.sections
    assert (chosen.out, chosen.data_dir, chosen.download, chosen.seed, chosen.quiet) == (None, None, False, 0, False)


@pytest.mark.parametrize(
    ("arguments", "section", "expected"),
    [
        (["--model.latent_dim", "3"], "model", {"latent_dim": 3}),
        (["--model.input_noise=0.5"], "model", {"input_noise": 0.5}),
        (["--model.encoder.hidden_dims", "[5, 6]"], "model", {"encoder": {"kind": "mlp", "hidden_dims": [5, 6]}}),
        (["--model.encoder.batch_norm", "true"], "model", {}),
        (["--model.encoder", "{hidden_dims: [7]}"], "model", {"encoder": {"hidden_dims": [7]}}),
        (["--model.likelihood={name: normal, scale: 0.1}"], "model", {"likelihood": {"name": "normal", "scale": 0.1}}),
        (["--objective.c_prior_floor", "-1"], "objective", {"c_prior_floor": -1.0}),
        (["--objective.c_prior_floor", "log K"], "objective", {"c_prior_floor": "log K"}),
        (["--objective.warmup.epochs", "3"], "objective", {"warmup": {"epochs": 3.0, "sites": ["z"]}}),
        (["--objective.warmup", "null"], "objective", {"warmup": None}),
        (["--optimizer.lr", "1e-4"], "optimizer", {"lr": 1e-4}),
        (["--optimizer.betas", "[0.5, 0.9]"], "optimizer", {"betas": [0.5, 0.9]}),
        (["--optimizer.schedule", "cosine"], "optimizer", {"schedule": "cosine"}),
        (["--trainer.max_epochs", "7"], "trainer", {"max_epochs": 7}),
        (["--trainer.patience", "3"], "trainer", {"patience": 3}),
        (["--trainer.precision", "64-true"], "trainer", {"precision": "64-true"}),
        (["--trainer.limit_train_batches", "2"], "trainer", {"limit_train_batches": 2}),
        (["--trainer.limit_train_batches", "0.5"], "trainer", {"limit_train_batches": 0.5}),
        (["--data.binarize", "dynamic"], "data", {"binarize": "dynamic"}),
    ],
)
def test_values(recipe, arguments, section, expected):
    changed, _ = apply_options(recipe, arguments)
    for name, value in expected.items():
        assert changed.sections[section][name] == value
        assert type(changed.sections[section][name]) is type(value)
    untouched = {name: value for name, value in recipe.sections.items() if name != section}
    assert {name: changed.sections[name] for name in untouched} == untouched


def test_numbers_as_yaml_writes_them(tiny, write_recipe):
    """YAML reads 1e-3, without a point, as text."""
    tiny["optimizer"]["lr"] = "1e-3"
    changed, _ = apply_options(read_recipe(write_recipe(tiny)), [])
    assert changed.sections["optimizer"]["lr"] == 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.latent_dims", "3"], "no option --model.latent_dims; did you mean --model.latent_dim"),
        (["--optimizer.lrr=1"], "did you mean --optimizer.lr"),
        (["--trainer.max_epoch", "1"], "did you mean --trainer.max_epochs"),
        (["--ouput", "x"], "did you mean --out"),
        (["--xyzzy"], "no option --xyzzy; see --help"),
        (["stray"], "no option stray"),
        (["--model.latent", "3"], "no option --model.latent;"),
        (["--model.latent_dim", "x"], "--model.latent_dim: expected int, got x"),
        (["--model.latent_dim", "2.5"], "--model.latent_dim: expected int, got 2.5"),
        (["--model.latent_dim="], "--model.latent_dim: expected int, got ''"),
        (["--optimizer.lr", "fast"], "--optimizer.lr: expected float, got fast"),
        (["--objective.warmup.epochs", "long"], "--objective.warmup: cannot be epochs=long; see --help"),
        (["--trainer.limit_val_batches", "all"], "--trainer.limit_val_batches: cannot be all; see --help"),
        (["--seed", "one"], "--seed: expected int, got one"),
        (["--out"], "--out: expected one argument"),
    ],
)
def test_wrong_options(recipe, arguments, message):
    with pytest.raises(ValueError) as error:
        apply_options(recipe, arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 160


def test_wrong_settings_of_a_recipe(tiny, write_recipe):
    tiny["optimizer"]["learning_rate"] = 0.1
    with pytest.raises(ValueError, match=r"recipe tiny: there is no setting optimizer.learning_rate"):
        apply_options(read_recipe(write_recipe(tiny)), [])
    del tiny["optimizer"]["learning_rate"]
    tiny["model"]["latent_dims"] = 3
    with pytest.raises(ValueError, match=r"model.latent_dims; did you mean model.latent_dim"):
        apply_options(read_recipe(write_recipe(tiny)), [])
    del tiny["model"]["latent_dims"]
    tiny["trainer"]["max_epochs"] = "many"
    with pytest.raises(ValueError, match=r"--trainer.max_epochs: expected int, got many"):
        apply_options(read_recipe(write_recipe(tiny)), [])
