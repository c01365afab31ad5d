"""Face detection: RetinaFace over an image pyramid, merged by non-maximum suppression.

RetinaFace (Deng et al., CVPR 2020, arXiv:1905.00641) finds faces from about 16 pixels up to about
the size of its largest anchors. One pass at one size therefore misses either the face that fills
the frame or the small faces in the back row of a group photo; a pyramid of sizes finds both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module

import numpy as np
from PIL import Image

from transforms.assets import AssetError
from transforms.faces.parameters import DetectorParameters

# A detector maps a uint8 (H, W, 3) RGB image to float32 (n, 15) rows in pixels of that image:
# box left, top, right, bottom; five landmarks x, y (eyes, nose, mouth corners, left to right as
# seen in the picture); score 0..1.
Detector = Callable[[np.ndarray], np.ndarray]

_STRIDE = 32  # the coarsest feature map of RetinaFace; sides must be multiples of it
_ROW = 15

# Mean side in pixels of the largest face that is believed at a level that has a smaller one below
# it. The smaller level sees such a face too, and better: at 300 pixels and more the detector takes
# a leaf or a collar for a face, and its landmarks are less exact.
_LARGEST_FACE = 320


@dataclass(frozen=True)
class Face:
    """A detected face, in pixels of the upright photo.

    box: left, top, right, bottom; may reach beyond the frame.
    landmarks: five (x, y) points: left eye, right eye, nose, left and right mouth corner, left
        and right as seen in the picture.
    score: detector confidence, 0..1.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]
    score: float

    @property
    def size(self) -> float:
        """Mean side of the box in pixels."""
        left, top, right, bottom = self.box
        return ((right - left) + (bottom - top)) / 2

    def moved(self, x: float, y: float) -> Face:
        """The same face in a frame whose origin lies elsewhere."""
        left, top, right, bottom = self.box
        landmarks = tuple((x + px, y + py) for px, py in self.landmarks)
        return replace(self, box=(left + x, top + y, right + x, bottom + y), landmarks=landmarks)


def pyramid_sizes(height: int, width: int, long_sides: Sequence[int]) -> list[tuple[int, int]]:
    """(height, width) of each pyramid level, smallest first.

    A level larger than the photo adds nothing but blur, so levels are capped at the photo's own
    size; a photo smaller than every level is enlarged to the smallest, because RetinaFace misses
    faces in tiny images.
    """
    long_side = max(height, width)
    smallest, *larger = sorted(long_sides)
    chosen = sorted({smallest, *(min(side, long_side) for side in larger if long_side > smallest)})
    scales = [side / long_side for side in chosen]
    return [(max(1, round(height * s)), max(1, round(width * s))) for s in scales]


def detect_faces(
    pixels: np.ndarray, detector: Detector, parameters: DetectorParameters
) -> list[Face]:
    """Faces in an upright photo, uint8 (H, W, 3) RGB, best score first, tiny ones too."""
    image = Image.fromarray(pixels)
    height, width = pixels.shape[:2]
    levels: list[np.ndarray] = []
    for level_height, level_width in pyramid_sizes(height, width, parameters.long_sides):
        # reducing_gap lets Pillow halve a 12-megapixel photo before the costly filter.
        level = image.resize((level_width, level_height), Image.Resampling.BILINEAR, None, 2.0)
        rows = detector(np.asarray(level))
        if levels:
            rows = rows[_sides(rows) <= _LARGEST_FACE]
        scale = np.array([width / level_width, height / level_height], np.float32)
        levels.append(np.concatenate([rows[:, :14] * np.tile(scale, 7), rows[:, 14:]], axis=1))
    rows = np.concatenate(levels)
    rows = rows[rows[:, 14] >= parameters.min_score]
    return [_face(row) for row in rows[non_maximum_suppression(rows, parameters.max_overlap)]]


def non_maximum_suppression(rows: np.ndarray, max_overlap: float) -> list[int]:
    """Indices of the rows to keep, best score first.

    Args:
        rows: float (n, 15), box in columns 0..3, score in column 14.
        max_overlap: a row that overlaps a better one by more than this is dropped. Overlap is
            intersection over union, or over the smaller box: two pyramid levels may see one face
            as a tight and a loose box.
    """
    kept: list[int] = []
    for index in np.argsort(-rows[:, 14], kind="stable"):
        if all(_overlap(rows[index], rows[other]) <= max_overlap for other in kept):
            kept.append(int(index))
    return kept


def _intersection(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return float(width * height) if width > 0 and height > 0 else 0.0


def _area(row: np.ndarray) -> float:
    return float((row[2] - row[0]) * (row[3] - row[1]))


def _sides(rows: np.ndarray) -> np.ndarray:
    return (rows[:, 2] - rows[:, 0] + rows[:, 3] - rows[:, 1]) / 2


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    inner, area_a, area_b = _intersection(a, b), _area(a), _area(b)
    if not inner:
        return 0.0
    # A face held up in a locket lies wholly inside another box yet is a face of its own; only
    # boxes of like size count by the smaller area.
    alike = min(area_a, area_b) > 0.4 * max(area_a, area_b)
    return inner / (min(area_a, area_b) if alike else area_a + area_b - inner)


def _face(row: np.ndarray) -> Face:
    values = [float(value) for value in row]
    left, top, right, bottom = values[:4]
    points = tuple((values[i], values[i + 1]) for i in range(4, 14, 2))
    return Face((left, top, right, bottom), points, values[14])


@cache
def load_retinaface(path: str) -> Detector:
    """The frozen MobileNetV2 graph of the PyPI package `retinaface`, one image a call.

    The graph takes float32 (1, H, W, 3) RGB in 0..255 with sides a multiple of 32 and gives rows
    of 16 relative coordinates: box, landmarks, valid flag, score.
    """
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    with open(path, "rb") as stream:
        graph_def.ParseFromString(stream.read())
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(graph_def, name=""), []
    )
    graph = wrapped.prune("x:0", "Identity:0")

    def detect(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        padding = [(0, -height % _STRIDE), (0, -width % _STRIDE), (0, 0)]
        padded = np.pad(pixels, padding).astype(np.float32)
        rows = graph(tf.constant(padded[np.newaxis])).numpy().reshape(-1, 16)
        found = np.concatenate([rows[:, :14], rows[:, 15:]], axis=1)
        found[:, :14] *= np.tile(np.array([padded.shape[1], padded.shape[0]], np.float32), 7)
        return found

    return detect


@cache
def load_retinaface_resnet50() -> Detector:
    """The ResNet-50 of the PyPI package `retina-face`, which downloads its weights at first use.

    Slower and a little more accurate than the default.

    Raises:
        ModuleNotFoundError: the optional package is not installed; the message says how.
        transforms.assets.AssetError: its weights could not be downloaded.
    """
    try:
        # The package is written for Keras 2, and asks for it by an environment variable that
        # TensorFlow reads only when first imported: too late here.
        for name in ("", ".models", ".layers"):
            sys.modules["tensorflow.keras" + name] = import_module("tf_keras" + name)
        from retinaface import RetinaFace
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the detector retinaface-resnet50 needs an optional package: "
            "pip install 'photoveil[retina-face]'"
        ) from error
    try:
        model = RetinaFace.build_model()
    except ValueError as error:
        raise AssetError(str(error)) from error

    def detect(pixels: np.ndarray) -> np.ndarray:
        found = RetinaFace.detect_faces(
            pixels[..., ::-1], threshold=0.02, model=model, allow_upscaling=False
        )
        return np.array([_resnet50_row(face) for face in found.values()], np.float32).reshape(
            -1, _ROW
        )

    return detect


def _resnet50_row(face: dict) -> list[float]:
    # `retina-face` names landmarks by the person's own left and right; ours go by the picture.
    marks = face["landmarks"]
    order = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
    return [
        *face["facial_area"],
        *(value for name in order for value in marks[name]),
        face["score"],
    ]
