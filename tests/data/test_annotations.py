"""A folder of images with a table of yes-or-no labels: a small generated example of the documented layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_mixvae.data import load
from pyro_mixvae.data.annotations import subject_folds
from pyro_mixvae.data.moves import RandomMoves
from pyro_mixvae.models import SemiSupervisedCSRAE
from pyro_mixvae.training import fit

#: Images of each subject.
SUBJECTS = {"SN001": 10, "SN002": 4, "SN003": 6, "SN004": 5, "SN005": 5}


@pytest.fixture
def folder(tmp_path):
    """Eye-aligned faces, as far as this test can tell: 12 x 12 grey noise, brighter where AU12 is."""
    draws, lines = np.random.default_rng(0), ["image,subject,AU1,AU12,AU25"]
    for subject, count in SUBJECTS.items():
        (tmp_path / subject).mkdir()
        for number in range(count):
            name, smile = f"{subject}/{number:04}.png", int(draws.integers(6))
            pixels = draws.integers(0, 100, (12, 12)) + 20 * smile
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name)
            lines.append(f"{name},{subject},{'' if number % 4 else 3},{smile},{number % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def annotated(folder, **options):
    return load(f"folder:{folder}", annotations="labels.csv", channels=1, **options)


def test_labels_are_those_of_the_table(folder) -> None:
    """Intensities from the threshold on are a yes, empty cells are missing; each label stays with its image."""
    data = annotated(folder, threshold=2, fold=1)
    assert data.label_names == ("AU1", "AU12", "AU25") and data.num_classes == 2
    rows = dict(line.split(",", 1) for line in (folder / "labels.csv").read_text().splitlines()[1:])
    by_pixels = {np.asarray(Image.open(folder / name)).tobytes(): row.split(",")[1:] for name, row in rows.items()}
    for part in data.parts().values():
        for x, y in zip(part.x, part.y, strict=True):
            words = by_pixels[x.numpy().tobytes()]
            assert y.tolist() == [-1 if word == "" else int(int(word) >= 2) for word in words]


def test_folds_share_no_subject_and_cover_all_images(folder) -> None:
    tested = []
    owner = {
        np.asarray(Image.open(folder / name)).tobytes(): name.split("/")[0]
        for name in (line.split(",")[0] for line in (folder / "labels.csv").read_text().splitlines()[1:])
    }
    for fold in range(3):
        data = annotated(folder, fold=fold)
        subjects = {name: {owner[x.numpy().tobytes()] for x in part.x} for name, part in data.parts().items()}
        assert not subjects["test"] & (subjects["train"] | subjects["validation"])
        assert len(data.validation) == (len(data.train) + len(data.validation)) // 10
        tested += [x.numpy().tobytes() for x in data.test.x]
    assert sorted(tested) == sorted(owner)


def test_folds_are_even() -> None:
    subjects = [name for name, count in SUBJECTS.items() for _ in range(count)]
    assert subject_folds(subjects, 3).bincount().tolist() == [10, 10, 10]


def test_crop_is_the_middle(folder) -> None:
    whole, cut = annotated(folder), annotated(folder, crop=8)
    torch.testing.assert_close(cut.test.x, whole.test.x[..., 2:10, 2:10])
    with pytest.raises(ValueError, match=r"crop: got 13, but .* is 12 x 12"):
        annotated(folder, crop=13)


def test_a_model_of_these_labels_trains(folder) -> None:
    data = annotated(folder, threshold=2, labelled=0.5, seed=1)
    network = {"kind": "mlp", "hidden_dims": [8]}
    names = ("encoder", "label_encoder", "classifier", "posterior", "decoder")
    model = SemiSupervisedCSRAE(data.event_shape, num_labels=3, latent_dim=2, **dict.fromkeys(names, network))
    how = {"batch_size": 6, "labelled_per_batch": 4, "balanced": True, "seed": 0, "progress": False}
    history = fit(model, data, max_epochs=2, **how).history
    assert history[-1]["train/classification"] > 0
    assert model.predict_proba(data.test.values()).shape == (len(data.test), 3)


FIRST, LISTED = "SN001/0000.png,SN001,3", r"{} images are listed, 30 are in .*; {} do not match, the first: {} is "
CHANGES = {
    "another name": (
        lambda text: text.replace("SN002/0001.png", "SN002/x.png"),
        LISTED.format(30, 2, "SN002/0001.png") + "there, but not listed",
    ),
    "one line less": (
        lambda text: "\n".join(text.splitlines()[:-1]),
        LISTED.format(29, 1, "SN005/0004.png") + "there, but not listed",
    ),
    "one line more": (
        lambda text: text + "SN001/0099.png,SN001,0,0,0\n",
        LISTED.format(31, 1, "SN001/0099.png") + "listed, but not there",
    ),
    "a line twice": (lambda text: text + "SN001/0000.png,SN001,0,0,0\n", "lists SN001/0000.png more than once"),
    "too intense": (
        lambda text: text.replace(FIRST, FIRST[:-1] + "6"),
        r"line 2, AU1: got '6'; allowed are intensities 0\.\.5",
    ),
    "a word": (lambda text: text.replace(FIRST, FIRST[:-1] + "no"), "line 2, AU1: got 'no'"),
    "no subject": (lambda text: text.replace("subject", "person", 1), "expected the columns image, subject and one"),
    "no label": (
        lambda text: "".join(",".join(line.split(",")[:2]) + ",\n" for line in text.splitlines()).replace(
            "subject,", "subject,AU1", 1
        ),
        "has no labelled data at all",
    ),
    "short line": (lambda text: text + "SN001/0099.png,SN001\n", "line 32: 2 columns, but 5 in the header"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_tables_that_do_not_match(folder, case) -> None:
    change, message = CHANGES[case]
    path = folder / "labels.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=f"annotations: .*{message}"):
        annotated(folder)


def test_bad_options(folder) -> None:
    for options, message in (
        ({"fold": 3}, r"fold: got 3; allowed are 0\.\.2"),
        ({"folds": 6}, r"folds: got 6; allowed are 2\.\.5, the subjects"),
        ({"threshold": 0}, r"threshold: got 0; allowed are 1\.\.5"),
        ({"split": "10/10/10"}, "split: got '10/10/10' with annotations"),
        ({"rotation": -1.0}, "rotation: got -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            annotated(folder, **options)
    with pytest.raises(ValueError, match=r"annotations: looked for .*none\.csv; no such file"):
        load(f"folder:{folder}", annotations="none.csv")


def test_moves_of_images(float64) -> None:
    """Nothing moved is nothing changed; a shift by whole pixels moves them, the edge repeated; a turn by 90 degrees."""
    x, noise = torch.rand(3, 2, 4, 4), torch.Generator().manual_seed(0)
    torch.testing.assert_close(RandomMoves(0.0, 0.0)(x, noise), x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *_, **__: torch.tensor([[0.5], [1.0], [0.5]]).expand(3, 3))
        right = RandomMoves(0.0, 1.0)(x, noise)
        torch.testing.assert_close(right, torch.cat([x[..., 1:], x[..., -1:]], -1))
        patch.setattr(torch, "rand", lambda *_, **__: torch.tensor([[1.0], [0.5], [0.5]]).expand(3, 3))
        turned = RandomMoves(90.0, 0.0)(x, noise)
    assert any(torch.allclose(turned, x.rot90(k, (-2, -1))) for k in (1, 3))
    assert not torch.allclose(RandomMoves(20.0, 1.0)(x, noise), x)
