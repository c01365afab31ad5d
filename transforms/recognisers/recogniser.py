"""What a recogniser is: how it cuts out and embeds a face, and how it compares two embeddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from photoveil.transforms.faces.detect import Detector, detect_faces
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io.assets import AssetError
from photoveil.transforms.records import Face


class MissingPackage(AssetError):
    """An optional package is not installed; the message says how to install it."""


class SeenPhoto:
    """A photo as a recogniser gets it, with the faces that our detector finds in it.

    Args:
        pixels: uint8 (H, W, 3) RGB, upright.
        detector: runs when `faces` is read for the first time.
        parameters: of the detection.
    """

    def __init__(
        self, pixels: np.ndarray, detector: Detector, parameters: DetectorParameters
    ) -> None:
        self.pixels = pixels
        self._detector = detector
        self._parameters = parameters

    @cached_property
    def faces(self) -> list[Face]:
        """The faces, best score first."""
        return detect_faces(self.pixels, self._detector, self._parameters)

    @property
    def largest(self) -> Face | None:
        """The face with the largest box, None without any; the photo counts as of that person."""
        return max(self.faces, key=_area, default=None)


Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A function from float (P, D) and (G, D) embeddings to float (P, G) distances; the smaller, the
more similar."""


@dataclass(frozen=True)
class Recogniser:
    """A face recogniser with its own way of cutting faces out.

    about: what it is, in a few words for the report.
    dimension: length of an embedding.
    threshold: distance up to which its publisher takes two faces for the same person; None if no
        threshold was published.
    threshold_source: where it was published.
    align: a function from a photo to the crop of its largest face, uint8 (S, S, 3) RGB; None if no
        face is found.
    embed: a function from (n, S, S, 3) crops to float (n, D) embeddings.
    white_box: True if the cloak was optimised against it, so that its figures make the cloak look
        too good; otherwise it is held out.
    """

    name: str
    about: str
    dimension: int
    threshold: float | None
    threshold_source: str | None
    distance: Distance
    align: Callable[[SeenPhoto], np.ndarray | None]
    embed: Callable[[np.ndarray], np.ndarray]
    white_box: bool = False


def cosine_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute 1 - cosine of all pairs of embeddings.

    Args:
        first: float (P, D).
        second: float (G, D).

    Returns:
        float64 (P, G) in 0..2.
    """
    return 1.0 - unit(first) @ unit(second).T


def euclidean_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute the Euclidean distances of all pairs of embeddings.

    Args:
        first: float (P, D).
        second: float (G, D).

    Returns:
        float64 (P, G).
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    squares = (first**2).sum(axis=1)[:, np.newaxis] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.sqrt(np.maximum(squares, 0.0))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale the rows of float (n, D) to unit length.

    Returns:
        float64 (n, D); a row of NaN stays one, and a row of zeros becomes one.
    """
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _area(face: Face) -> float:
    left, top, right, bottom = face.box
    return (right - left) * (bottom - top)
