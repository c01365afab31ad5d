"""Near duplicates: the same picture resized, recompressed or retagged.

Pictures are compared by PDQ (Facebook 2019, "The TMK+PDQF Video-Hashing Algorithm and the PDQ
Image-Hashing Algorithm"), 256 bits of a picture's low frequencies. The bits are cut into 16 bands.
Two hashes that differ in at most 15 bits agree in at least one band, so only photos that share a
band are compared, and the work grows with the archive and not with its square. The pixels of a
matching pair are then compared: two shots of a burst have similar hashes, but some part of the
picture differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated

from photoveil.transforms.duplicates.pdq import SIDE, pdq_of
from photoveil.transforms.records import HashedPhoto, NearDuplicatePair

PDQ_BYTES = 32
_BANDS = 16
_MOST_PAIRED = 100  # photos that one is compared with by eye in a bucket
_LOOK = 32  # cells a side in which two pictures are compared by eye, as it were


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class NearDuplicateParameters:
    """How near duplicates are treated."""

    policy: Literal["mirror", "skip", "off"] = "mirror"
    """mirror: they get the cloak of the photo they are like, so that the average of the copies
    shows no more than one; skip: they are left out of the output; off: not looked for."""
    max_distance: Annotated[int, Field(ge=0, le=15)] = 15
    """Most bits of 256 that may differ."""
    max_difference: Annotated[float, Field(gt=0, le=255)] = 4.0
    """Most levels that any cell of 32 x 32 may differ in brightness."""


def pdq(pixels: np.ndarray) -> bytes | None:
    """Hash an upright photo, uint8 (H, W, 3) RGB; None for one with too little detail.

    PDQ gives a quality, 0 to 100, and its authors advise against hashes below 50: any plain wall
    looks like any other.
    """
    # A hash of 16 x 16 frequencies needs no more than 256 pixels, and costs a tenth with them.
    # reducing_gap lets Pillow halve a large photo before the costly filter.
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR, None, 2.0)
    value, quality = pdq_of(np.asarray(image))
    return value if quality >= 50 else None


def bands(value: bytes) -> list[bytes]:
    """Return the 16 bands of a hash, each prefixed with its number."""
    width = PDQ_BYTES // _BANDS
    return [bytes([n]) + value[n * width : (n + 1) * width] for n in range(_BANDS)]


def distance(one: bytes, other: bytes) -> int:
    """Count the bits that differ, 0..256."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def near_any(new: np.ndarray, known: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the hashes that have another one near them, at least one of the two new.

    Args:
        new: uint8 (m, 32), compared with each other and with `known`: uint8 (n, 32).
        most: bits that may differ, at most 15.

    Returns:
        bool (m,) and (n,).
    """
    some, others = _sharing_a_band(new, known)
    some, others = np.flatnonzero(some), np.flatnonzero(others)
    words, known_words = new[some].view(np.uint64), known[others].view(np.uint64)
    in_new, in_known = np.zeros(len(new), bool), np.zeros(len(known), bool)
    for index, word in zip(some, words, strict=True):
        near_known = np.bitwise_count(known_words ^ word).sum(1) <= most
        near_new = np.bitwise_count(words ^ word).sum(1) <= most
        in_known[others[near_known]] = True
        in_new[index] = near_known.any() or near_new.sum() > 1  # it is near to itself
    return in_new, in_known


def _sharing_a_band(new: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    in_new, in_known = np.zeros(len(new), bool), np.zeros(len(known), bool)
    for start in range(0, PDQ_BYTES, PDQ_BYTES // _BANDS):
        one, other = (
            np.ascontiguousarray(hashes[:, start : start + 2]).view(np.uint16)[:, 0]
            for hashes in (new, known)
        )
        values, counts = np.unique(one, return_counts=True)
        in_new |= np.isin(one, values[counts > 1]) | np.isin(one, other)
        in_known |= np.isin(other, values)
    return in_new, in_known


@dataclass(frozen=True)
class Thumbnail:
    """A 32 x 32 brightness thumbnail, used to confirm a hash match.

    width, height: pixels of the photo. cells: float32 (32, 32), mean brightness, 0..255.
    """

    width: int
    height: int
    cells: np.ndarray


def thumbnail(pixels: np.ndarray) -> Thumbnail:
    """Reduce an upright photo, uint8 (H, W, 3) RGB, to its thumbnail."""
    grey = Image.fromarray(pixels).convert("L")
    cells = np.asarray(grey.resize((_LOOK, _LOOK), Image.Resampling.LANCZOS), np.float32)
    return Thumbnail(grey.width, grey.height, cells)


def show_the_same(one: Thumbnail, other: Thumbnail, most: float) -> bool:
    """True when two photos show the same things at the same places.

    Args:
        most: levels by which the mean brightness of any cell of 32 x 32 may differ.
    """
    # Rounding of the sides may change the shape of a thumbnail by a pixel.
    slack = 1 / min(one.width, one.height) + 1 / min(other.width, other.height)
    if abs(np.log(one.height / one.width * other.width / other.height)) > slack:
        return False
    return float(np.abs(one.cells - other.cells).max()) <= most


def groups(pairs: Iterable[tuple[str, str]]) -> list[set[str]]:
    """Return the connected components of the pairs of keys, in the order of their first pairs."""
    from scipy.sparse import coo_matrix  # slow to load, and seldom needed
    from scipy.sparse.csgraph import connected_components

    numbers: dict[str, int] = {}
    edges = [[numbers.setdefault(key, len(numbers)) for key in pair] for pair in pairs]
    if not edges:
        return []
    ones, others = zip(*edges, strict=True)
    shape = (len(numbers), len(numbers))
    graph = coo_matrix((np.ones(len(edges), bool), (ones, others)), shape)
    count, labels = connected_components(graph, directed=False)
    found: list[set[str]] = [set() for _ in range(count)]
    for key, label in zip(numbers, labels, strict=True):
        found[label].add(key)
    return found


def candidate_pairs(
    band: bytes, photos: Iterable[HashedPhoto], most: int
) -> Iterator[NearDuplicatePair]:
    """Return the pairs within one bucket that are near enough, except those of two known photos.

    A pair comes from the first band that it shares, and from no other bucket. Thousands of similar
    photos would give millions of pairs, so each new photo is paired with its 100 nearest, and of
    equally near ones with those whose keys are beside its own, which keeps any number of copies
    connected.

    Args:
        band: of the bucket, one of `bands`.
        most: bits that may differ.
    """
    ordered = sorted(photos, key=lambda photo: photo.key)
    hashes = as_array([photo.pdq for photo in ordered])
    words = hashes.view(np.uint64)
    earlier = np.ascontiguousarray(hashes.view(np.uint16)[:, : band[0]].T)
    pairs: dict[tuple[int, int], int] = {}
    for index, photo in enumerate(ordered):
        if not photo.known:
            for other, bits in _nearest(words, earlier, index, most):
                pairs[min(index, other), max(index, other)] = bits
    for (one, other), bits in pairs.items():
        yield NearDuplicatePair(ordered[one], ordered[other], bits)


def _nearest(
    words: np.ndarray, earlier: np.ndarray, index: int, most: int
) -> list[tuple[int, int]]:
    """Find the hashes nearest to one of them, and how many bits differ.

    Args:
        words: uint64 (n, 4), the hashes.
        earlier: uint16 (k, n), bands of which none may be common.
    """
    bits = np.bitwise_count(words ^ words[index]).sum(1, dtype=np.int64)
    is_near = bits <= most
    is_near[index] = False
    for values in earlier:
        is_near &= values != values[index]
    near = np.flatnonzero(is_near)
    if len(near) > _MOST_PAIRED:
        near = near[np.lexsort((np.abs(near - index), bits[near]))[:_MOST_PAIRED]]
    return [(int(other), int(bits[other])) for other in near]


def as_array(hashes: Sequence[bytes]) -> np.ndarray:
    """Return the hashes as uint8 (n, 32)."""
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, PDQ_BYTES)
