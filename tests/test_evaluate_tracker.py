"""The tracker on photos of one colour each, with a recogniser that knows people by their colour:
every figure can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoveil.transforms.evaluate.conditions import AS_WRITTEN
from photoveil.transforms.evaluate.embedding import Embedder
from photoveil.transforms.evaluate.tracker import (
    COSINE_SHIFT,
    FORWARD,
    OWN_THRESHOLD,
    RANK_1,
    RANK_5,
    REVERSE,
    Finding,
    Published,
    Study,
    track,
)
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.recognisers import Recogniser, SeenPhoto
from photoveil.transforms.recognisers.recogniser import euclidean_distance

Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)  # the colour recogniser takes it for a photo without a face

COLOURS = Recogniser(
    name="colour",
    about="knows people by their colour",
    dimension=3,
    threshold=30.0,
    threshold_source="here",
    distance=euclidean_distance,
    align=lambda photo: photo.pixels[:1, :1] if photo.pixels.any() else None,
    embed=lambda crops: crops.reshape(-1, 3).astype(float),
)


class Photos:
    """Writes one-coloured PNG files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def __call__(self, colour: Colour) -> str:
        self._count += 1
        path = self._folder / f"{self._count}.png"
        Image.new("RGB", (4, 4), colour).save(path)
        return str(path)


@pytest.fixture
def photo(tmp_path: Path) -> Photos:
    return Photos(tmp_path)


def no_detector(pixels: np.ndarray) -> np.ndarray:
    raise AssertionError("this recogniser finds its own faces")


def results(study: Study) -> dict[tuple[str, str], Finding]:
    embedder = Embedder([COLOURS], no_detector, DetectorParameters())
    found = track(study, embedder, [AS_WRITTEN])
    return {(finding.direction, finding.figure): finding for finding in found}


def test_a_cloak_that_takes_one_person_for_another_halves_rank_1(photo: Photos) -> None:
    # Ann's published photo is moved next to Ben's colour, Ben's own stays.
    study = Study(
        published=(
            Published("ann", photo((200, 10, 10)), photo((20, 10, 200))),
            Published("ben", photo((10, 10, 200)), photo((10, 10, 200))),
        ),
        probes=(("ann", photo((190, 10, 10))), ("ben", photo((10, 10, 190)))),
        padding=(("cleo", photo((180, 60, 10))),),
    )
    found = results(study)
    rank_1 = found[FORWARD, RANK_1]
    assert rank_1.people == ("ann", "ben", "cleo")
    # The probe of Ann now has the stranger's photo nearest.
    assert rank_1.cloaked.total.tolist() == [0, 1, 0]
    assert rank_1.cloaked.count.tolist() == [1, 1, 0]
    assert rank_1.uncloaked.mean == 1.0
    assert found[FORWARD, RANK_5].cloaked.mean == 1.0
    assert found[FORWARD, OWN_THRESHOLD].cloaked.mean == 0.5
    assert found[FORWARD, OWN_THRESHOLD].uncloaked.mean == 1.0
    # Reverse: Ann's cloaked photo is searched for among the clean ones, and taken for Ben.
    assert found[REVERSE, RANK_1].cloaked.total.tolist() == [0, 1, 0]
    assert found[REVERSE, RANK_1].uncloaked.mean == 1.0


def test_cosine_shift_is_measured_from_the_original(photo: Photos) -> None:
    study = Study(
        published=(Published("ann", photo((200, 0, 0)), photo((0, 200, 0))),),
        probes=(("ann", photo((190, 0, 0))),),
    )
    shift = results(study)[FORWARD, COSINE_SHIFT]
    assert shift.cloaked.mean == pytest.approx(1.0)
    assert shift.uncloaked.mean == pytest.approx(0.0)


def test_without_probes_an_original_is_searched_for_in_the_other_photos_only(
    photo: Photos,
) -> None:
    # Were a photo compared with itself, everyone would be found.
    study = Study(
        published=(
            Published("ann", photo((200, 0, 0)), photo((200, 0, 0))),
            Published("ann", photo((0, 200, 0)), photo((0, 200, 0))),
            Published("ben", photo((190, 0, 0)), photo((190, 0, 0))),
            Published("ben", photo((0, 190, 0)), photo((0, 190, 0))),
        )
    )
    assert results(study)[FORWARD, RANK_1].uncloaked.mean == 0.0
    assert results(study)[REVERSE, RANK_1].uncloaked.mean == 0.0


def test_who_has_a_single_photo_and_no_probe_is_not_asked_for(photo: Photos) -> None:
    study = Study(
        published=tuple(
            Published(person, photo(colour), photo(colour))
            for person, colour in (
                ("ann", (200, 0, 0)),
                ("ann", (190, 0, 0)),
                ("ben", (0, 0, 200)),
            )
        )
    )
    for direction in (FORWARD, REVERSE):
        rank_1 = results(study)[direction, RANK_1]
        assert rank_1.uncloaked.count.tolist() == [2, 0]
        assert rank_1.uncloaked.mean == 1.0


def test_a_duplicate_is_not_found_in_its_twin(photo: Photos) -> None:
    same, other = photo((200, 0, 0)), photo((0, 0, 200))
    study = Study(
        published=(
            Published("ann", same, same),
            Published("ann", photo((200, 0, 0)), same),
            Published("ann", other, other),
        ),
        padding=(("ben", photo((100, 0, 60))),),
    )
    found = results(study)[FORWARD, RANK_1].uncloaked
    assert found.count[0] == 3
    assert found.total[0] == 0


def test_a_face_the_cloak_hides_is_not_found_and_a_faceless_original_not_asked_for(
    photo: Photos,
) -> None:
    study = Study(
        published=(
            Published("ann", photo((200, 0, 0)), photo(BLACK)),
            Published("ben", photo(BLACK), photo(BLACK)),
        ),
        probes=(
            ("ann", photo((190, 0, 0))),
            ("ann", photo(BLACK)),
            ("ben", photo((0, 190, 0))),
        ),
    )
    found = results(study)
    rank_1 = found[FORWARD, RANK_1]
    assert rank_1.cloaked.count.tolist() == [1, 0]
    assert rank_1.cloaked.mean == 0.0
    assert rank_1.uncloaked.mean == 1.0
    assert found[REVERSE, RANK_1].cloaked.count.tolist() == [1, 0]
    assert found[REVERSE, RANK_1].cloaked.mean == 0.0
    assert found[REVERSE, RANK_1].uncloaked.mean == 1.0


def test_an_unreadable_file_is_named_and_counts_as_faceless(photo: Photos, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    embedder = Embedder([COLOURS], no_detector, DetectorParameters())
    paths = [str(tmp_path / "broken.png"), str(tmp_path / "missing.png"), photo((1, 2, 3))]
    found = embedder.embed(paths, AS_WRITTEN)["colour"]
    assert np.isnan(found[:2]).all()
    assert found[2].tolist() == [1, 2, 3]
    assert set(embedder.unreadable) == set(paths[:2])


def test_a_file_is_looked_at_once_and_remembered_over_runs(photo: Photos, tmp_path: Path) -> None:
    seen: list[SeenPhoto] = []

    def align(photo: SeenPhoto) -> np.ndarray:
        seen.append(photo)
        return photo.pixels[:1, :1]

    counting = Recogniser("counting", "", 3, None, None, euclidean_distance, align, COLOURS.embed)
    first = Embedder([counting, COLOURS], no_detector, DetectorParameters())
    paths = [photo((1, 2, 3)), photo((1, 2, 3)), photo((4, 5, 6))]
    expected = first.embed(paths, AS_WRITTEN)["counting"]
    first.embed(paths, AS_WRITTEN)
    assert len(seen) == 2
    assert first.only("colour").recognisers == (COLOURS,)
    alone = first.only("counting").embed(paths, AS_WRITTEN)
    np.testing.assert_array_equal(alone["counting"], expected)
    assert len(seen) == 2
    first.save(tmp_path / "kept.npz")
    later = Embedder([counting], no_detector, DetectorParameters())
    later.load(tmp_path / "kept.npz")
    np.testing.assert_array_equal(later.embed(paths, AS_WRITTEN)["counting"], expected)
    assert len(seen) == 2
