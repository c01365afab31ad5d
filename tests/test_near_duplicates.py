"""Near duplicates: which photos are, and that all copies of one carry the same cloak."""

from __future__ import annotations

import io
import itertools
import os
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoveil.pipeline.settings import Settings
from photoveil.transforms.duplicates.perceptual_hash import (
    NearDuplicateParameters,
    as_array,
    bands,
    candidate_pairs,
    distance,
    groups,
    near_any,
    pdq,
    show_the_same,
    thumbnail,
)
from photoveil.transforms.records import HashedPhoto
from tests.archives import QUICK, Archive

Photo = Callable[[str], Path]
MOST = NearDuplicateParameters().max_difference


@pytest.fixture(scope="session")
def portrait(demo_photo: Photo) -> Image.Image:
    with Image.open(demo_photo("biden.jpg")) as image:
        image.thumbnail((900, 900))
        return image.convert("RGB")


def look_alike(one: np.ndarray, other: np.ndarray, most: float) -> bool:
    return show_the_same(thumbnail(one), thumbnail(other), most)


def saved(image: Image.Image, quality: int, side: int | None = None) -> bytes:
    if side is not None:
        image = image.copy()
        image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize(("quality", "side"), [(40, None), (90, 600), (75, 300), (95, 160)])
def test_resized_and_recompressed_copies_are_alike(
    portrait: Image.Image, quality: int, side: int | None
) -> None:
    one, other = np.asarray(portrait), pixels(saved(portrait, quality, side))
    hashes = pdq(one), pdq(other)
    assert hashes[0] is not None and hashes[1] is not None
    assert distance(*hashes) <= 15  # type: ignore[arg-type]
    assert look_alike(one, other, MOST)


@pytest.mark.parametrize(("turn", "shift"), [(0.6, 0), (0.0, 6)])
def test_the_next_shot_of_a_burst_is_another_photo(
    portrait: Image.Image, turn: float, shift: int
) -> None:
    width, height = portrait.size
    frame = (20, 20, width - 20, height - 20)
    first = np.asarray(portrait.crop(frame))
    moved = portrait.rotate(turn, Image.Resampling.BICUBIC)
    second = np.asarray(moved.crop(tuple(side + shift for side in frame)))  # type: ignore[arg-type]
    assert not look_alike(first, second, MOST)


def test_a_burst_where_only_the_face_moves_is_not_alike(portrait: Image.Image) -> None:
    first = np.asarray(portrait)
    second = first.copy()
    second[150:290, 130:260] = np.roll(first, 8, axis=1)[150:290, 130:260]
    assert not look_alike(first, second, MOST)


def test_a_picture_that_shows_nothing_has_no_hash() -> None:
    assert pdq(np.full((300, 300, 3), 128, np.uint8)) is None


def test_hashes_that_differ_in_at_most_15_bits_share_a_band() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        bits = rng.integers(0, 2, 256)
        other = bits.copy()
        other[rng.choice(256, 15, replace=False)] ^= 1
        one, two = (np.packbits(value).tobytes() for value in (bits, other))
        assert distance(one, two) == 15
        assert set(bands(one)) & set(bands(two))
        in_new, in_known = near_any(as_array([one]), as_array([two]), 15)
        assert in_new.all() and in_known.all()
        in_new, _ = near_any(as_array([one, two]), as_array([]), 15)
        assert in_new.all()
        in_new, in_known = near_any(as_array([one]), as_array([two]), 14)
        assert not in_new.any() and not in_known.any()


def test_pairs_of_two_known_photos_are_not_looked_at_again() -> None:
    photos = [HashedPhoto(key, bytes(32), key, known=key != "c") for key in "abc"]
    found = [(pair.one.key, pair.other.key) for pair in candidate_pairs(b"\0", photos, 15)]
    assert found == [("a", "c"), ("b", "c")]
    assert [sorted(group) for group in groups(found)] == [["a", "b", "c"]]


def all_pairs(photos: list[HashedPhoto], most: int = 15) -> list[tuple[str, str, int]]:
    """Those that all buckets give together."""
    buckets: defaultdict[bytes, list[HashedPhoto]] = defaultdict(list)
    for photo in photos:
        for band in bands(photo.pdq):
            buckets[band].append(photo)
    return [
        (pair.one.key, pair.other.key, pair.distance)
        for band, some in buckets.items()
        for pair in candidate_pairs(band, some, most)
    ]


def test_buckets_give_every_near_pair_once() -> None:
    rng = np.random.default_rng(1)
    base, photos = rng.integers(0, 2, 256), []
    for number in range(60):
        bits = base.copy()
        bits[rng.choice(256, int(rng.integers(12)), replace=False)] ^= 1
        photos.append(HashedPhoto(f"{number:02}", np.packbits(bits).tobytes(), "", number % 3 == 0))
    expected = [
        (a.key, b.key, distance(a.pdq, b.pdq))
        for a, b in itertools.combinations(photos, 2)
        if distance(a.pdq, b.pdq) <= 15 and not (a.known and b.known)
    ]
    assert len(expected) > 1000
    assert sorted(all_pairs(photos)) == sorted(expected)


def test_thousands_of_photos_that_are_alike_stay_one_group_without_millions_of_pairs() -> None:
    photos = [HashedPhoto(f"{n:05}", bytes(32), "", known=n % 4 == 0) for n in range(1000)]
    found = all_pairs(photos)
    assert len(found) <= 100 * len(photos)
    assert len(set(found)) == len(found)
    (group,) = groups((one, other) for one, other, _ in found)
    assert len(group) == len(photos)


def test_groups_are_what_pairs_connect_in_the_order_of_the_first_pairs() -> None:
    assert groups([]) == []
    pairs = [("d", "c"), ("z", "b"), ("e", "d"), ("c", "a"), ("b", "y"), ("d", "c"), ("m", "m")]
    assert groups(pairs) == [{"a", "c", "d", "e"}, {"b", "y", "z"}, {"m"}]
    rng = np.random.default_rng(2)
    many = [(f"{one}", f"{other}") for one, other in rng.integers(0, 400, (300, 2))]
    expected: list[set[str]] = []
    for pair in many:  # one pair after another, each joining what it touches
        touched = [group for group in expected if group & set(pair)]
        joined = set(pair).union(*touched)
        first = expected.index(touched[0]) if touched else len(expected)
        expected = [group for group in expected if group not in touched]
        expected.insert(first, joined)
    assert 20 < len(expected) < 200
    assert groups(many) == expected


def change(archive: Archive, name: str) -> np.ndarray:
    """What the cloak did to the brightness of a photo, at 300 pixels: float (H, W)."""
    pair = []
    for root in (archive.photos, archive.out):
        with Image.open(root / name) as image:
            pair.append(np.asarray(image.convert("L").resize((225, 300)), np.float32))
    return pair[1] - pair[0]


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize(
    "policy",
    ["mirror", *(pytest.param(policy, marks=pytest.mark.slow) for policy in ("off", "skip"))],
)
def test_copies_carry_one_cloak_in_one_run_and_in_the_next(
    tmp_path: Path, portrait: Image.Image, demo_photo: Photo, policy: str
) -> None:
    near = NearDuplicateParameters(policy=policy)  # type: ignore[arg-type]
    cloak = {**vars(QUICK.cloak), "steps": 6}
    settings = Settings(
        cloak=type(QUICK.cloak)(**cloak), detector=QUICK.detector, near_duplicates=near
    )
    archive = Archive(tmp_path, settings)
    archive.photos.mkdir()
    (archive.photos / "a_small.jpg").write_bytes(saved(portrait, 90, 600))
    (archive.photos / "original.jpg").write_bytes(saved(portrait, 95))
    archive.run()
    (archive.photos / "later.jpg").write_bytes(saved(portrait, 85, 700))
    archive.run()
    rows = archive.rows()
    if policy == "skip":
        assert rows["later.jpg"]["status"] == rows["a_small.jpg"]["status"] == "skipped"
        assert sorted(os.listdir(archive.out)) == ["_photoveil", "original.jpg"]
        assert archive.plan().refs == []
        (archive.photos / "original.jpg").unlink()
        shutil.copyfile(demo_photo("obama.jpg"), archive.photos / "other.jpg")
        archive.run(prune=True)
        assert archive.rows().keys() == {"other.jpg"}
        archive.run()  # what was left out for its sake is looked at anew
        statuses = {source: row["status"] for source, row in archive.rows().items()}
        both = {"later.jpg": "cloaked", "other.jpg": "cloaked"}
        assert statuses == {"a_small.jpg": "skipped", **both}
        assert sorted(os.listdir(archive.out)) == ["_photoveil", *both]
        return
    original = change(archive, "original.jpg")
    alike = [likeness(original, change(archive, name)) for name in ("a_small.jpg", "later.jpg")]
    if policy == "mirror":
        assert rows["later.jpg"]["duplicate_of"] == "original.jpg"
        assert rows["a_small.jpg"]["duplicate_of"] == "original.jpg"
        assert rows["a_small.jpg"]["distance"] <= 15
        assert min(alike) > 0.8
    else:
        assert rows["later.jpg"]["duplicate_of"] is None
        assert alike[0] < 0.7  # later.jpg starts from their cloaks
