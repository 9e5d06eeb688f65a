"""Models as files: what is saved comes back exactly, and nothing but a model does."""

from __future__ import annotations

import errno
import json
import pickle
import random
import resource
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pyro.nn import PyroModule
from safetensors.torch import load_file, save_file
from torch import nn

import pyro_mixvae
from pyro_mixvae.data import load as load_data
from pyro_mixvae.models import GMVAE, VAE
from pyro_mixvae.priors import GaussianMixturePrior
from pyro_mixvae.training import fit
from tests.models.every_model import NAMES, every

CONFIG, WEIGHTS = "config.json", "model.safetensors"
NETWORK = {"kind": "mlp", "hidden_dims": [8], "batch_norm": True}


def gmvae(**options):
    networks = {"encoder": NETWORK, "decoder": NETWORK, "prior_network": {"kind": "mlp", "hidden_dims": [8]}}
    return GMVAE((1, 8, 8), 2, 3, 2, **{**networks, **options}).eval()


@pytest.fixture
def saved(tmp_path) -> Path:
    return pyro_mixvae.save(gmvae(c_prior_floor="log K", num_particles=2), tmp_path / "model")


def same(first: nn.Module, second: nn.Module) -> bool:
    states = first.state_dict(), second.state_dict()
    return list(states[0]) == list(states[1]) and all(
        torch.equal(value, states[1][name]) and value.dtype == states[1][name].dtype
        for name, value in states[0].items()
    )


# --- round trips -----------------------------------------------------------------------------------------------------


def test_round_trip_of_a_trained_model(tmp_path):
    digits = load_data("digits")
    model = fit(gmvae(), digits.train.x[:200], max_epochs=1, seed=0, progress=False).model
    loaded = pyro_mixvae.load(pyro_mixvae.save(model, tmp_path / "a" / "model"))
    assert type(loaded) is GMVAE
    assert same(model, loaded)
    assert loaded.config == model.config
    assert not loaded.training
    assert torch.equal(model.responsibilities(digits.test.x), loaded.responsibilities(digits.test.x))
    assert {path.name for path in (tmp_path / "a" / "model").iterdir()} == {CONFIG, WEIGHTS}


@pytest.mark.parametrize(
    "options",
    [
        {"likelihood": "normal"},
        {"likelihood": {"name": "normal", "scale": 0.1}},
        {"c_prior_floor": 0.5, "num_particles": 3, "input_noise": 0.25, "enumerate_in": "model"},
    ],
)
def test_every_setting_comes_back(tmp_path, options):
    model = gmvae(**options)
    loaded = pyro_mixvae.load(pyro_mixvae.save(model, tmp_path))
    assert loaded.config == model.config
    assert {name: getattr(loaded, name) for name in options} == options
    assert same(model, loaded)


def test_float64(tmp_path):
    model = gmvae().double()
    loaded = pyro_mixvae.load(pyro_mixvae.save(model, tmp_path))
    assert {value.dtype for value in loaded.parameters()} == {torch.float64}
    assert same(model, loaded)


def test_config_is_json_that_one_can_read(saved):
    description = json.loads((saved / CONFIG).read_text())
    assert description["format"] == "pyro_mixvae"
    assert description["schema"] == 1
    assert description["class"] == "GMVAE"
    assert description["config"]["num_components"] == 3


def test_saving_again_replaces(saved):
    other = gmvae()
    pyro_mixvae.save(other, saved)
    assert same(pyro_mixvae.load(saved), other)


def test_loading_leaves_the_callers_state_alone(saved):
    before = torch.get_rng_state()
    model = pyro_mixvae.load(str(saved))
    assert torch.equal(torch.get_rng_state(), before)
    assert next(model.parameters()).device == torch.device("cpu")
    assert all(value.requires_grad for value in model.parameters())


def test_loaded_models_are_independent(saved):
    first, second = pyro_mixvae.load(saved), pyro_mixvae.load(saved)
    with torch.no_grad():
        next(first.parameters()).add_(1)
    assert not same(first, second)
    assert same(second, pyro_mixvae.load(saved))


# --- a user's own ----------------------------------------------------------------------------------------------------


class Own(PyroModule):
    """A user's class: a mapping ``config`` is all that saving asks for."""

    def __init__(self, width: int = 3, network: nn.Module | None = None, **options):
        super().__init__()
        self.config = {"width": width, **options}
        self.layer = nn.Linear(2, width)
        self.network = network
        self.tied = self.layer.bias

    built: int = 0


def test_own_class_is_named_by_the_caller(tmp_path):
    model = Own(width=4, note="kept")
    pyro_mixvae.save(model, tmp_path)
    loaded = pyro_mixvae.load(tmp_path, cls=Own)
    assert type(loaded) is Own
    assert loaded.config == {"width": 4, "note": "kept"}
    assert same(model, loaded)
    with pytest.raises(ValueError, match=r"class: 'Own' is not one of the package's \(.*GMVAE.*cls="):
        pyro_mixvae.load(tmp_path)


def test_a_prior_of_one_s_own_is_asked_for(tmp_path):
    prior = GaussianMixturePrior(3, 2)
    model = VAE((4,), latent_dim=2, likelihood="normal", encoder=NETWORK, decoder=NETWORK, prior=prior)
    pyro_mixvae.save(model, tmp_path)
    with pytest.raises(ValueError, match="not in it: prior; what was passed as a module has to be passed again"):
        pyro_mixvae.load(tmp_path)
    pyro_mixvae.load(tmp_path, networks={"prior": GaussianMixturePrior(3, 2)})


def test_networks_are_passed_again(tmp_path):
    def network():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8))

    model = gmvae(encoder=network())
    pyro_mixvae.save(model, tmp_path)
    loaded = pyro_mixvae.load(tmp_path, networks={"encoder": network()})
    assert same(model, loaded)
    with pytest.raises(ValueError, match=r"missing .*encoder"):
        pyro_mixvae.load(tmp_path)
    with pytest.raises(ValueError, match="takes no argument 'encodr'"):
        pyro_mixvae.load(tmp_path, networks={"encodr": network()})
    with pytest.raises(ValueError, match="encoder"):
        pyro_mixvae.load(tmp_path, networks={"encoder": nn.Sequential(nn.Flatten(), nn.Linear(64, 9))})


# --- what cannot be saved --------------------------------------------------------------------------------------------


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="model: Linear has no 'config'"):
        pyro_mixvae.save(nn.Linear(2, 2), tmp_path)
    for bad in (torch.zeros(2), float("nan"), {1, 2}):
        with pytest.raises(ValueError, match="configuration of Own is not JSON"):
            pyro_mixvae.save(Own(note=bad), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"folder: cannot write to .*file"):
        pyro_mixvae.save(gmvae(), tmp_path / "file" / "model")


# --- damaged and foreign files ---------------------------------------------------------------------------------------


def edit(folder: Path, **changes):
    description = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**description, **changes}))


def configure(folder: Path, **changes):
    description = json.loads((folder / CONFIG).read_text())
    edit(folder, config={**description["config"], **changes})


def reweigh(folder: Path, change):
    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS)


def write(folder: Path, name: str, content: bytes):
    (folder / name).write_bytes(content)


def fill(state, value):
    state["decoder.layers.0.weight"][0, 0] = value


HUGE_HEADER = struct.pack("<Q", 2**62) + b"{}"
PICKLE = b"\x80\x04cposix\nsystem\nX\x04\x00\x00\x00true\x85R."

DAMAGE = {
    "no config": (lambda f: (f / CONFIG).unlink(), "cannot be read: No such file"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "not a safetensors file"),
    "config is a folder": (lambda f: ((f / CONFIG).unlink(), (f / CONFIG).mkdir()), "cannot be read"),
    "weights are a folder": (lambda f: ((f / WEIGHTS).unlink(), (f / WEIGHTS).mkdir()), "not a safetensors file"),
    "empty config": (lambda f: write(f, CONFIG, b""), "not JSON"),
    "empty weights": (lambda f: write(f, WEIGHTS, b""), "not a safetensors file"),
    "binary config": (lambda f: write(f, CONFIG, b"\xff\x00\xfe"), "not JSON"),
    "config of another kind": (lambda f: write(f, CONFIG, b"[1, 2]"), "not a configuration written by"),
    "foreign config": (lambda f: write(f, CONFIG, b'{"model_type": "bert"}'), "not a configuration written by"),
    "deep config": (lambda f: write(f, CONFIG, b"[" * 100_000), "not JSON"),
    "long number": (lambda f: write(f, CONFIG, b'{"format": ' + b"9" * 10_000 + b"}"), "not JSON"),
    "oversized config": (lambda f: write(f, CONFIG, b" " * (2**20 + 1)), "larger than"),
    "another schema": (lambda f: edit(f, schema=2), "schema 2; this version reads 1"),
    "schema is true": (lambda f: edit(f, schema=True), "schema True"),
    "no arguments": (lambda f: edit(f, config=None), "'config' must be an object"),
    "class is a number": (lambda f: edit(f, **{"class": 3}), "'class' a name"),
    "unknown class": (lambda f: edit(f, **{"class": "GMVAEE"}), "not one of the package's"),
    "abstract class": (lambda f: edit(f, **{"class": "MixtureVAE"}), "not one of the package's"),
    "path in class": (lambda f: edit(f, **{"class": "../../evil"}), "not one of the package's"),
    "module in class": (lambda f: edit(f, **{"class": "os.system"}), "not one of the package's"),
    "dunder in class": (lambda f: edit(f, **{"class": "__builtins__"}), "not one of the package's"),
    "unknown argument": (lambda f: configure(f, depth=3), "takes no argument 'depth'"),
    "self as argument": (lambda f: configure(f, self=3), ""),
    "wrong type": (lambda f: configure(f, latent_dim="two"), "cannot be built"),
    "null": (lambda f: configure(f, event_shape=None), "cannot be built"),
    "out of range": (lambda f: configure(f, num_components=0), "num_components"),
    "NaN in config": (lambda f: configure(f, input_noise=float("nan")), "input_noise"),
    "unknown network": (lambda f: configure(f, encoder={"kind": "pickle"}), "pickle"),
    "another dtype": (lambda f: edit(f, dtype="float64"), "needs"),
    "unknown dtype": (lambda f: edit(f, dtype="load"), "dtype 'load'"),
    "dtype is a list": (lambda f: edit(f, dtype=[]), "dtype"),
    "a terabyte": (lambda f: configure(f, encoder={**NETWORK, "hidden_dims": [2**40]}), "needs"),
    "more than memory has names for": (lambda f: configure(f, latent_dim=10**30), ""),
    "another size": (lambda f: configure(f, latent_dim=3), "but the configuration needs"),
    "truncated weights": (
        lambda f: write(f, WEIGHTS, (f / WEIGHTS).read_bytes()[:-40]),
        "not a safetensors file",
    ),
    "half a header": (lambda f: write(f, WEIGHTS, (f / WEIGHTS).read_bytes()[:60]), "not a safetensors file"),
    "huge header": (lambda f: write(f, WEIGHTS, HUGE_HEADER), "not a safetensors file"),
    "a pickle": (lambda f: write(f, WEIGHTS, PICKLE), "not a safetensors file"),
    "a tensor too few": (lambda f: reweigh(f, lambda s: s.pop("decoder.layers.0.weight")), "missing"),
    "a tensor too many": (lambda f: reweigh(f, lambda s: s.update(more=torch.zeros(2))), "unknown ['more']"),
    "another type": (
        lambda f: reweigh(f, lambda s: s.update({k: v.half() for k, v in s.items() if v.is_floating_point()})),
        "float16",
    ),
    "another shape": (
        lambda f: reweigh(f, lambda s: s.update({"decoder.layers.0.weight": torch.zeros(2, 8)})),
        "'decoder.layers.0.weight' is [2, 8]",
    ),
    "NaN": (lambda f: reweigh(f, lambda s: fill(s, torch.nan)), "'decoder.layers.0.weight' holds values that are not"),
    "infinity": (lambda f: reweigh(f, lambda s: fill(s, -torch.inf)), "holds values that are not finite"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files(saved, damage):
    spoil, message = DAMAGE[damage]
    spoil(saved)
    with pytest.raises(ValueError) as error:
        pyro_mixvae.load(saved)
    assert message in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_folder_that_there_is_not(tmp_path):
    with pytest.raises(ValueError, match=r"is .*nowhere a saved model"):
        pyro_mixvae.load(tmp_path / "nowhere")


def test_nothing_outside_the_folder_is_read(saved, tmp_path):
    """A class name is looked up in a fixed list, never as a file or a module."""
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    for name in ("../evil", "evil", "tmp.evil", "pyro_mixvae.models.GMVAE", "models.GMVAE"):
        edit(saved, **{"class": name})
        with pytest.raises(ValueError, match="not one of the package's"):
            pyro_mixvae.load(saved)


class Hostile:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("kind", ["pickle", "torch", "numpy"])
def test_hostile_pickles_under_our_names(saved, tmp_path, name, kind):
    target = tmp_path / "it-ran"
    if kind == "torch":
        torch.save(Hostile(target), saved / name)
    elif kind == "numpy":
        with (saved / name).open("wb") as file:
            np.save(file, np.array([Hostile(target)]), allow_pickle=True)
    else:
        (saved / name).write_bytes(pickle.dumps(Hostile(target)))
    with pytest.raises(ValueError, match="not JSON" if name == CONFIG else "not a safetensors file"):
        pyro_mixvae.load(saved)
    assert not target.exists()
    pickle.loads(pickle.dumps(Hostile(target)))
    assert target.exists(), "the pickle of this test does nothing"


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "encoder/../../x", "C:\\evil", "\u202egnp.evil", "a\0b"])
def test_paths_in_names(saved, tmp_path, name):
    """Of tensors, networks, classes and arguments: names are compared, never opened."""
    before = sorted(tmp_path.rglob("*"))
    reweigh(saved, lambda state: state.update({name: torch.zeros(1)}))
    with pytest.raises(ValueError, match="unknown"):
        pyro_mixvae.load(saved)
    for change in (
        {"encoder": {"kind": name}},
        {"encoder": {**NETWORK, "activation": name}},
        {"likelihood": name},
        {name: 1},
    ):
        other = pyro_mixvae.save(gmvae(), tmp_path / "other")
        configure(other, **change)
        with pytest.raises(ValueError):
            pyro_mixvae.load(other)
    edit(saved, **{"class": name})
    with pytest.raises(ValueError, match="not one of the package's"):
        pyro_mixvae.load(saved)
    shutil.rmtree(tmp_path / "other")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_that_is_no_text(saved):
    """A name in the header whose JSON is a lone surrogate."""
    content = (saved / WEIGHTS).read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + size].replace(b'"decoder.layers.0.weight"', b'"decoder.layer\\ud800.wei"')
    assert len(header) == size
    (saved / WEIGHTS).write_bytes(content[:8] + header + content[8 + size :])
    with pytest.raises(ValueError, match="not a safetensors file"):
        pyro_mixvae.load(saved)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.999])
@pytest.mark.parametrize("bit", [0, 3])
def test_one_bit_of_one_number(saved, place, bit):
    """A change that no shape and no NaN gives away: the file's own checksum does."""
    path = saved / WEIGHTS
    content = bytearray(path.read_bytes())
    (size,) = struct.unpack("<Q", content[:8])
    body = len(content) - 8 - size
    content[8 + size + int(place * body)] ^= 1 << bit
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="damaged: these are not the weights that were saved"):
        pyro_mixvae.load(saved)


def test_weights_that_another_tool_wrote_have_no_checksum(saved):
    reweigh(saved, lambda state: fill(state, 0.25))
    assert pyro_mixvae.load(saved).decoder.layers[0].weight[0, 0] == 0.25


def test_weights_and_configuration_of_two_models(saved, tmp_path):
    other = pyro_mixvae.save(gmvae(likelihood="normal"), tmp_path / "other")
    shutil.copy(other / WEIGHTS, saved / WEIGHTS)
    with pytest.raises(ValueError, match=r"but the configuration needs|missing|unknown"):
        pyro_mixvae.load(saved)


def test_a_failed_save_leaves_the_saved_model(saved, monkeypatch):
    """Whether it fails at the weights, at the configuration, or between the two."""
    before = pyro_mixvae.load(saved)
    for place in ("save_file", "os.replace"):
        with monkeypatch.context() as patch:

            def full(*args, **kwargs):
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(f"pyro_mixvae.serialization.{place}", full)
            with pytest.raises(ValueError, match=r"folder: cannot write to .*No space left on device"):
                pyro_mixvae.save(gmvae(), saved)
        assert same(pyro_mixvae.load(saved), before)
        assert {path.name for path in saved.iterdir()} == {CONFIG, WEIGHTS}


# --- enormous demands ------------------------------------------------------------------------------------------------


def numbers_in(config, path=()):
    """Where a configuration holds numbers."""
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield (*path, key)
        else:
            yield from numbers_in(value, (*path, key))


ENORMOUS = (10**6, 2**31, 10**12, 10**40, 1e308)


def demand(folder: Path, path: tuple, value: float) -> None:
    description = json.loads((folder / CONFIG).read_text())
    target = description["config"]
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    (folder / CONFIG).write_text(json.dumps(description))


def assert_little_is_asked_for(folder: Path, name: str, choose) -> None:
    """Enormous numbers are refused, or were no sizes; none takes memory or time in proportion."""
    model = every(name).eval()
    pyro_mixvae.save(model, folder)
    places = list(numbers_in(json.loads((folder / CONFIG).read_text())["config"]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for place, value in choose([(place, value) for place in places for value in ENORMOUS]):
        pyro_mixvae.save(model, folder)
        demand(folder, place, value)
        try:
            loaded = pyro_mixvae.load(folder)
        except ValueError as error:
            assert len(str(error)) < 1000
        else:
            shapes = {name: value.shape for name, value in loaded.state_dict().items()}
            assert shapes == {name: value.shape for name, value in model.state_dict().items()}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 500 * (1 if sys.platform != "darwin" else 1024) * 1024


def test_enormous_demands(tmp_path):
    assert_little_is_asked_for(tmp_path, "MPVAE", lambda demands: random.Random(0).sample(demands, 4))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_enormous_demand(tmp_path, name):
    assert_little_is_asked_for(tmp_path, name, lambda demands: demands)


# --- any damage ------------------------------------------------------------------------------------------------------


def mutate(folder: Path, choice: random.Random) -> None:
    """Spoil one of the two files: bits flipped, bytes cut out or put in, JSON values exchanged."""
    name = choice.choice([CONFIG, WEIGHTS])
    content = bytearray((folder / name).read_bytes())
    kind = choice.randrange(5)
    # most of a weights file is numbers: look for trouble in its header
    place = choice.randrange(min(len(content), 1500))
    if kind == 0:
        for _ in range(choice.randint(1, 4)):
            content[choice.randrange(min(len(content), 1500))] ^= 1 << choice.randrange(8)
    elif kind == 1:
        del content[place : place + choice.randint(1, 200)]
    elif kind == 2:
        content[place:place] = bytes(choice.randrange(256) for _ in range(choice.randint(1, 20)))
    elif kind == 3:
        del content[choice.randrange(len(content)) :]
    else:
        description = json.loads((folder / CONFIG).read_text())
        parts = [description, description["config"], description["config"].get("encoder", {"kind": "mlp"})]
        target = choice.choice(parts)
        values = [None, True, -1, 0, 2.5, 10**12, 10**40, "x", "", [], [[]], {}, {"kind": "mlp"}, "log K", [10**9]]
        target[choice.choice(list(target))] = choice.choice(values)
        name, content = CONFIG, bytearray(json.dumps(description).encode())
    (folder / name).write_bytes(content)


def no_other_exception(folder: Path, model: nn.Module, seeds: range) -> int:
    refused = 0
    for seed in seeds:
        pyro_mixvae.save(model, folder)
        mutate(folder, random.Random(seed))
        try:
            loaded = pyro_mixvae.load(folder)
        except ValueError:
            refused += 1
        else:
            assert all(value.isfinite().all() for value in loaded.parameters()), seed
    return refused


def test_sixty_mutated_files(tmp_path):
    refused = no_other_exception(tmp_path / "model", gmvae(), range(60))
    assert refused > 30


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_three_hundred_mutated_files(tmp_path, name):
    """Of every model: 3,000 and more in all."""
    assert no_other_exception(tmp_path / "model", every(name).eval(), range(1000, 1300)) > 150


def test_whoever_may_read_the_configuration_may_read_the_weights(saved):
    assert (saved / WEIGHTS).stat().st_mode == (saved / CONFIG).stat().st_mode


def test_the_cure_is_named_for_a_model_without_a_configuration(tmp_path):
    with pytest.raises(ValueError, match=r"set self\.config"):
        pyro_mixvae.save(nn.Linear(2, 2), tmp_path)
