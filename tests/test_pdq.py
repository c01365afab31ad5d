"""PDQ gives the hashes of its authors' code, which the manifests of older libraries have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from photoveil.transforms.duplicates.pdq import SIDE, pdq_of

# Of pdqhash 0.2.8, the authors' C++ code, for the same pictures; the number is the quality.
HASHES = {
    0: ("cccccccc33333333cccccccc33333333cccccccc33333333cccccccc33333333", 34),
    3: ("1e6b0e6222a9f3db3514cc1f3a52d81a2c9966c719d8deecf9de1655e263068c", 100),
    6: ("8632da4885a991228a901600a0a045dd73537bb9feabd75fba8efefbe1243ace", 100),
}
OF_ALL = "b18d8ade490c406c0e8827d6d1c8f547af7d69e2eeecd493088f752f4e796db1"


def pictures() -> Iterator[np.ndarray]:
    """400 pictures of coloured squares, from 2 to 256 a side."""
    rng = np.random.default_rng(22)
    for number in range(400):
        squares = 2 ** (1 + number % 8)
        cells = rng.integers(0, 256, (squares, squares, 3), np.uint8)
        yield cells.repeat(SIDE // squares, 0).repeat(SIDE // squares, 1)


def test_hashes_are_those_of_the_authors_code_to_the_bit() -> None:
    found = [pdq_of(picture) for picture in pictures()]
    for number, (value, quality) in HASHES.items():
        assert (found[number][0].hex(), found[number][1]) == (value, quality)
    joined = b"".join(value + bytes([quality]) for value, quality in found)
    assert hashlib.sha256(joined).hexdigest() == OF_ALL
