"""Detection and alignment, on real photos and on pictures whose answer is known."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.ml.inference.base import RunInference
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that
from PIL import Image, ImageOps
from skimage.transform import estimate_transform

from photoveil.transforms.faces.align import (
    TEMPLATE,
    crop_face,
    face_to_crop,
    feather,
    invert,
    lay_back,
    similarity,
)
from photoveil.transforms.faces.detect import (
    Detector,
    detect_faces,
    load_retinaface,
    load_retinaface_resnet50,
)
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.faces.pyramid import RELIABLE_FACE, level_sizes, tiles
from photoveil.transforms.faces.rows import mapped, non_maximum_suppression, turned_back
from photoveil.transforms.io import assets
from photoveil.transforms.photo.find_faces import FaceDetectorHandler
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.records import Face, PhotoRef
from tests.support.face_scenes import (
    Portrait,
    cut_portrait,
    found_in,
    landmark_errors,
    scene,
    turned,
)

PARAMETERS = DetectorParameters()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_retinaface(str(assets.fetch("retinaface.pb")))


@pytest.fixture(scope="module")
def photo(demo_photo: Callable[[str], Path]) -> Callable[[str], Image.Image]:
    return lambda name: Image.open(demo_photo(name)).convert("RGB")


def found(image: Image.Image, detector: Detector) -> list[Face]:
    return detect_faces(np.asarray(image), detector, PARAMETERS)


@pytest.mark.parametrize("name", ["obama.jpg", "obama2.jpg", "biden.jpg", "astronaut.png"])
def test_a_portrait_has_one_face_with_its_landmarks_in_place(
    name: str, photo: Callable[[str], Image.Image], detector: Detector
) -> None:
    (face,) = found(photo(name), detector)
    left, top, right, bottom = face.box
    eye_left, eye_right, nose, mouth_left, mouth_right = face.landmarks
    assert all(left < x < right and top < y < bottom for x, y in face.landmarks)
    assert eye_left[0] < nose[0] < eye_right[0]
    assert mouth_left[0] < mouth_right[0]
    assert max(eye_left[1], eye_right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


def test_the_detector_finds_what_its_whole_graph_finds(
    photo: Callable[[str], Image.Image], detector: Detector
) -> None:
    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString(assets.fetch("retinaface.pb").read_bytes())
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(graph_def, name=""), []
    )
    whole = wrapped.prune("x:0", "Identity:0")
    row = [
        photo(name).resize((width, 288)) for name, width in (("obama.jpg", 240), ("biden.jpg", 208))
    ]
    pixels = np.concatenate([np.asarray(image) for image in row], axis=1)
    expected = whole(tf.constant(pixels[np.newaxis], tf.float32)).numpy()
    found = detector(pixels)
    found = found[found[:, 14] >= 0.5]  # the graph's own threshold
    height, width = pixels.shape[:2]
    assert len(found) == len(expected) == 2
    assert np.allclose(found[:, :14], expected[:, :14] * np.tile([width, height], 7), atol=0.01)
    assert np.allclose(found[:, 14], expected[:, 15], atol=1e-5)


@pytest.mark.parametrize("name", ["rocket.jpg", "coffee.png", "chelsea.png"])
def test_photos_without_people_have_none(
    name: str, photo: Callable[[str], Image.Image], detector: Detector
) -> None:
    assert found(photo(name), detector) == []


def test_a_face_that_fills_a_large_frame_is_found(
    photo: Callable[[str], Image.Image], detector: Detector
) -> None:
    portrait = photo("obama.jpg")
    (face,) = found(portrait, detector)
    close = portrait.crop(face.box).resize((3000, 3600))
    (again,) = found(close, detector)
    assert again.size > 2000


def test_small_faces_in_a_twelve_megapixel_group_photo_are_found(
    photo: Callable[[str], Image.Image], detector: Detector
) -> None:
    group = Image.new("RGB", (4000, 3000), (90, 110, 90))
    portrait = photo("obama.jpg")
    person = portrait.resize((240, round(240 * portrait.height / portrait.width)))
    places = [(x, y) for x in range(200, 3700, 500) for y in (300, 1400, 2400)]
    for place in places:
        group.paste(person, place)
    assert len(found(group, detector)) == len(places)


def test_orientation_is_undone_before_detection(
    photo: Callable[[str], Image.Image], detector: Detector, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    path = tmp_path / "turned.jpg"
    photo("biden.jpg").transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    ref = PhotoRef(str(tmp_path), "turned.jpg", path.stat().st_size, 0.0)
    read = read_photo(ref, ReadLimits())
    assert read.pixels is not None
    (turned,) = detect_faces(read.pixels, detector, PARAMETERS)
    (straight,) = found(photo("biden.jpg"), detector)
    assert np.allclose(turned.box, straight.box, atol=4)


def test_faces_come_through_run_inference(demo_photo: Callable[[str], Path]) -> None:
    path = demo_photo("obama.jpg")
    ref = PhotoRef(str(path.parent), path.name, path.stat().st_size, 0.0)

    def check(predictions: list[Any]) -> None:
        (done,) = predictions
        assert len(done.inference.faces) == 1

    with TestPipeline(runner=FnApiRunner()) as pipeline:
        done = (
            pipeline
            | beam.Create([ref])
            | beam.Map(read_photo, ReadLimits())
            | RunInference(FaceDetectorHandler(PARAMETERS))
        )
        assert_that(done, check)


@pytest.mark.slow
def test_nearly_every_labelled_photo_gives_a_face(people_data: Path, detector: Detector) -> None:
    rows = (line.split(",") for line in (people_data / "people.csv").read_text().splitlines()[1:])
    names = [file for file, person in rows if person][::10]
    missed = []
    for name in names:
        image = Image.open(people_data / name).convert("RGB")
        if not found(image, detector):
            missed.append(name)
    assert len(missed) <= 0.02 * len(names), missed


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_spectacles_are_not_taken_for_the_mouth_of_a_face_upside_down(
    people_data: Path, detector: Detector, turn: int
) -> None:
    """The face fills the photo, and is tilted: both views of it score more than 0.99."""
    photo = people_data / "bernadette3.png"
    if not photo.is_file():
        pytest.skip("bernadette3.png is not in the labelled data")
    image, _ = turned(np.asarray(Image.open(photo).convert("RGB")), turn)
    (face,) = detect_faces(image, detector, DetectorParameters())
    assert abs((leaning(face) - turn + 180) % 360 - 180) < 30


@pytest.mark.slow
def test_nobody_in_an_upright_photo_is_seen_turned(people_data: Path, detector: Detector) -> None:
    rows = (line.split(",") for line in (people_data / "people.csv").read_text().splitlines()[1:])
    for name in (file for file, person in rows if person):
        image = np.asarray(ImageOps.exif_transpose(Image.open(people_data / name)).convert("RGB"))
        face = max(detect_faces(image, detector, DetectorParameters()), key=lambda one: one.size)
        assert abs(leaning(face)) < 60, name


def leaning(face: Face) -> float:
    """By how many degrees a face is turned anticlockwise."""
    eyes, mouth = (np.mean(face.landmarks[part], axis=0) for part in (slice(0, 2), slice(3, 5)))
    return float(np.degrees(np.arctan2(*(mouth - eyes))))


@pytest.mark.parametrize(("long_sides", "believed"), [((256, 1600), 0), ((1600,), 1)])
def test_a_large_face_is_believed_at_the_smallest_level_alone(
    long_sides: tuple[int, ...], believed: int
) -> None:
    def leaf(pixels: np.ndarray) -> np.ndarray:
        """Takes half of a large picture for a face."""
        row = [0, 0, *[pixels.shape[1] / 2] * 2, *[9.0] * 10, 0.9]
        return np.array([row] if pixels.shape[1] > 1000 else [], np.float32).reshape(-1, 15)

    parameters = DetectorParameters(long_sides=long_sides, turned_levels=0)
    assert len(detect_faces(np.zeros((900, 2000, 3), np.uint8), leaf, parameters)) == believed


@pytest.fixture
def retina_face(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """A stand-in for the package `retina-face` and the Keras 2 that it needs."""
    package = MagicMock()
    for name in ("", ".models", ".layers"):
        monkeypatch.setitem(sys.modules, "tf_keras" + name, MagicMock())
        monkeypatch.setitem(sys.modules, "tensorflow.keras" + name, None)
    monkeypatch.setitem(sys.modules, "retinaface", package)
    return package.RetinaFace


def test_the_optional_detector_speaks_our_conventions(retina_face: MagicMock) -> None:
    # As its documentation has it: left and right are the person's own, pixels are BGR.
    marks = {
        "right_eye": [257.8, 209.6],
        "left_eye": [374.9, 251.8],
        "nose": [303.5, 299.9],
        "mouth_right": [228.4, 338.7],
        "mouth_left": [320.2, 374.6],
    }
    box = [155, 81, 434, 443]
    face = {"score": 0.99, "facial_area": box, "landmarks": marks}
    retina_face.detect_faces.return_value = {"face_1": face}
    red = np.full((500, 500, 3), (255, 0, 0), np.uint8)
    (row,) = load_retinaface_resnet50.__wrapped__()(red)
    assert np.allclose(row[:4], box) and row[14] == pytest.approx(0.99)
    assert np.allclose(row[4:14].reshape(5, 2), list(marks.values()))
    assert retina_face.detect_faces.call_args.args[0][0, 0].tolist() == [0, 0, 255]
    assert sys.modules["tensorflow.keras.models"] is sys.modules["tf_keras.models"]
    retina_face.detect_faces.return_value = {}
    assert load_retinaface_resnet50.__wrapped__()(red).shape == (0, 15)


def test_weights_that_cannot_be_downloaded_are_a_missing_asset(retina_face: MagicMock) -> None:
    retina_face.build_model.side_effect = ValueError("Pre-trained weight could not be loaded!")
    with pytest.raises(assets.AssetError, match="could not be loaded"):
        load_retinaface_resnet50.__wrapped__()


def test_the_optional_detector_says_how_to_get_it() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'retina-face.* 'tf-keras"):
        load_retinaface_resnet50()


def test_a_level_is_never_larger_than_the_photo_but_for_tiny_photos() -> None:
    sides = (256, 640, 1600)
    assert level_sizes(1200, 1600, sides, 40) == [(192, 256), (480, 640), (1200, 1600)]
    assert level_sizes(300, 400, sides, 40) == [(192, 256), (300, 400)]
    assert level_sizes(300, 400, sides, 5) == [(192, 256), (300, 400)]
    assert level_sizes(50, 100, (256, 640), 40) == [(128, 256)]


@pytest.mark.parametrize("long_sides", [(256, 640, 1600), (256,)])
@pytest.mark.parametrize("size", [(3000, 4000), (6000, 8000), (3000, 20_000), (90_000, 700)])
def test_levels_step_up_until_the_smallest_face_is_large_enough(
    long_sides: tuple[int, ...], size: tuple[int, int]
) -> None:
    for smallest in (20, 40, 100):
        levels = [max(level) for level in level_sizes(*size, long_sides, smallest)]
        assert levels[-1] >= min(max(size), max(size) * RELIABLE_FACE / smallest)
        assert levels[0] == 256
        # Just the largest face that two tiles share must still be found one level below.
        steps = np.divide(levels[1:], levels[:-1])
        assert ((steps > 1) & (steps < 6.1)).all()


def test_a_level_that_the_smallest_face_asks_for_replaces_the_largest_where_it_can() -> None:
    def long_sides(width: int) -> list[int]:
        return [max(level) for level in level_sizes(100, width, (256, 640, 1600), 40)]

    assert long_sides(4000) == [256, 640, 2000]
    assert long_sides(20_000) == [256, 640, 1600, 4000, 10_000]


@pytest.mark.parametrize(
    "size", [(1200, 1600), (1350, 1801), (1350, 9000), (40, 90_000), (9000,) * 2]
)
def test_each_face_that_a_level_must_find_lies_whole_in_a_small_enough_tile(
    size: tuple[int, int],
) -> None:
    height, width = size
    cut = tiles(height, width)
    assert all((t.right - t.left) * (t.bottom - t.top) <= 1600 * 1200 for t in cut)
    assert sum((t.right - t.left) * (t.bottom - t.top) for t in cut) < 1.25 * height * width
    side, room = 120, 12  # one level below it is 20 pixels; 12 keep it off the edges
    random = np.random.default_rng(0)
    for _ in range(300):
        x, y = random.uniform(0, max(1, width - side)), random.uniform(0, max(1, height - side))
        right, bottom = min(width, x + side), min(height, y + side)
        assert any(
            t.left <= max(0, x - room)
            and t.top <= max(0, y - room)
            and t.right >= min(width, right + room)
            and t.bottom >= min(height, bottom + room)
            for t in cut
        )


@pytest.fixture(scope="module")
def heads(photo: Callable[[str], Image.Image], detector: Detector) -> list[Portrait]:
    cut = []
    for name in ("obama.jpg", "biden.jpg", "obama2.jpg"):
        pixels = np.asarray(photo(name))
        (face,) = detect_faces(pixels, detector, PARAMETERS)
        portrait = cut_portrait(pixels, face)
        assert portrait is not None
        cut.append(portrait)
    return cut


@pytest.mark.parametrize("face", [40, 60, 100])
def test_small_faces_are_found_in_a_panorama_within_small_passes(
    face: int, heads: list[Portrait], detector: Detector
) -> None:
    seen: list[int] = []

    def noting(pixels: np.ndarray) -> np.ndarray:
        seen.append(pixels.shape[0] * pixels.shape[1])
        return detector(pixels)

    panorama, places = scene(heads, 12_000, 500, face, most=30)
    faces = detect_faces(panorama, noting, PARAMETERS)
    assert sum(found_in(place, faces) for place in places) == len(places) == len(faces)
    assert max(seen) <= 1600 * 1200
    assert faces == detect_faces(panorama, detector, PARAMETERS)  # each time the same


def test_faces_on_the_edges_of_tiles_are_found_once_and_whole(
    heads: list[Portrait], detector: Detector
) -> None:
    width, height = 16_000, 1000
    canvas = Image.new("RGB", (width, height), (120, 130, 140))
    (level_height, level_width) = level_sizes(height, width, PARAMETERS.long_sides, 40)[-1]
    cut = tiles(level_height, level_width)
    assert len(cut) > 1
    edges = {edge for tile in cut for edge in (tile.left, tile.right)} - {0, level_width}
    places = []
    for edge in edges:
        for row, face in enumerate((50, 120, 230)):
            side = round(face / heads[0].share)
            left = round(edge * width / level_width) - side // 2
            canvas.paste(heads[0].image.resize((side, side)), (left, row * 180 + 10))
            places.append((left + side / 2, row * 180 + 10 + side / 2, face))
    faces = detect_faces(np.asarray(canvas), detector, PARAMETERS)
    assert len(faces) == len(places)
    for x, y, size in places:
        (one,) = (
            f
            for f in faces
            if abs(f.box[0] + f.box[2] - 2 * x) < size and abs(f.box[1] + f.box[3] - 2 * y) < size
        )
        assert one.size == pytest.approx(size, rel=0.15)


@pytest.mark.parametrize("degrees", [90, 180, 270, 45, 200])
@pytest.mark.parametrize("name", ["obama.jpg", "biden.jpg"])
def test_a_photo_on_its_side_gives_the_landmarks_of_the_upright_one(
    name: str, degrees: int, photo: Callable[[str], Image.Image], detector: Detector
) -> None:
    image = photo(name)
    image.thumbnail((800, 800))
    upright = found(image, detector)
    pixels, matrix = turned(np.asarray(image), degrees)
    (error,) = landmark_errors(upright, detect_faces(pixels, detector, PARAMETERS), matrix)
    assert error is not None and error < 0.1


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_small_faces_on_their_side_are_found(
    degrees: int, heads: list[Portrait], detector: Detector
) -> None:
    upright, places = scene(heads, 1200, 900, 60, most=12)
    pixels, matrix = turned(upright, degrees)
    straight = detect_faces(upright, detector, PARAMETERS)
    errors = landmark_errors(straight, detect_faces(pixels, detector, PARAMETERS), matrix)
    assert len(errors) == len(places)
    assert all(error is not None and error < 0.1 for error in errors)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_small_faces_on_their_side_are_found_beside_upright_ones(
    degrees: int, heads: list[Portrait], detector: Detector
) -> None:
    sideways = [Portrait(head.image.rotate(degrees), head.share) for head in heads]
    pixels, places = scene([heads[0], *sideways], 1200, 900, 40, most=12)
    faces = detect_faces(pixels, detector, PARAMETERS)
    assert sum(found_in(place, faces) for place in places) == len(places) == len(faces)


@pytest.mark.parametrize(
    ("score", "enlarged", "count"),
    [(0.1, 0.99, 1), (0.1, 0.8, 0), (0.1, None, 0), (0.04, 0.99, 0)],
)
def test_a_faint_candidate_counts_if_it_is_a_likely_face_once_enlarged(
    score: float, enlarged: float | None, count: int
) -> None:
    def faint(pixels: np.ndarray) -> np.ndarray:
        """Give a face of 40 pixels in the photo, and of 88 in the cut-out of 256."""
        is_cut = pixels.shape[0] == 256
        given, side, x, y = (enlarged, 88, 128, 128) if is_cut else (score, 40, 320, 240)
        if given is None:
            return np.zeros((0, 15), np.float32)
        left, top = x - side / 2, y - side / 2
        marks = np.array([left, top]) + TEMPLATE * side / 112
        box = [left, top, left + side, top + side]
        return np.array([[*box, *marks.ravel(), given]], np.float32)

    parameters = DetectorParameters(long_sides=(640,), turned_levels=0)
    faces = detect_faces(np.zeros((480, 640, 3), np.uint8), faint, parameters)
    assert len(faces) == count


def test_rows_of_a_turned_picture_are_turned_back() -> None:
    marks = [12, 22, 18, 22, 15, 25, 13, 28, 17, 28]
    row = np.array([[10, 20, 20, 32, *marks, 0.9]], np.float32)
    height, width = 100, 60
    for quarter in range(4):
        _, matrix = turned(np.zeros((height, width, 3), np.uint8), 90 * quarter)
        assert np.allclose(turned_back(mapped(row, matrix), quarter, height, width), row, atol=1e-3)


def test_of_boxes_that_overlap_the_best_stays() -> None:
    def row(left: float, top: float, side: float, score: float) -> list[float]:
        return [left, top, left + side, top + side, *[0.0] * 10, score]

    rows = np.array([row(0, 0, 10, 0.7), row(1, 1, 10, 0.9), row(40, 0, 10, 0.6)])
    assert non_maximum_suppression(rows, 0.4) == [1, 2]
    locket = np.array([row(0, 0, 100, 0.9), row(40, 80, 10, 0.8)])
    assert non_maximum_suppression(locket, 0.4) == [0, 1]


def test_similarity_recovers_a_known_transform() -> None:
    angle, scale, shift = 0.3, 2.5, np.array([10.0, -4.0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = similarity(TEMPLATE, TEMPLATE @ turn.T + shift)
    assert np.allclose(matrix, np.column_stack([turn, shift]))
    assert np.allclose(invert(matrix)[:, :2] @ turn, np.eye(2))
    with pytest.raises(ValueError, match="one point"):
        similarity(np.ones((5, 2)), TEMPLATE)


def test_similarity_is_that_of_scikit_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        landmarks = TEMPLATE * rng.uniform(0.2, 10) + rng.normal(0, 5, TEMPLATE.shape)
        landmarks = landmarks[:, ::-1] + rng.uniform(0, 4000, 2)  # mirrored, too
        expected = estimate_transform("similarity", landmarks, TEMPLATE).params[:2]
        assert np.allclose(similarity(landmarks, TEMPLATE), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [0.4, 1.0, 6.0])
@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_a_crop_samples_the_photo_where_its_matrix_says(scale: float, angle: float) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = TEMPLATE @ turn.T + [300, 200]
    matrix = face_to_crop([tuple(point) for point in landmarks])
    # One level is 5 pixels of the slope, and Pillow cuts fractions of a level off.
    places = np.arange(1300) / 1300 * 255  # a slope is the same after any sampling
    slopes = np.stack([*np.meshgrid(places, places), np.zeros((1300, 1300))], axis=-1)
    crop = crop_face(np.rint(slopes).astype(np.uint8), matrix)
    for column, row in ((56, 56), (20, 90), (100, 30)):
        expected = invert(matrix) @ np.array([column + 0.5, row + 0.5, 1]) - 0.5
        assert crop[row, column, :2] * (1300 / 255) == pytest.approx(expected, abs=8)


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("place", [(300, 200), (-20, -30)], ids=["inside", "over the edge"])
def test_a_change_is_laid_back_where_it_was_made(scale: float, place: tuple[int, int]) -> None:
    landmarks = TEMPLATE * scale + place
    matrix = face_to_crop([tuple(point) for point in landmarks])
    change = np.zeros((112, 112), np.float32)
    change[60:80, 50:90] = 10
    top, left, patch = lay_back(change, matrix, 1000, 1000)
    assert top >= 0 and left >= 0
    y, x = (patch * (patch > 1)).nonzero()
    centre = np.array([70.0, 70.0]) * scale + place
    assert np.allclose([x.mean() + 0.5 + left, y.mean() + 0.5 + top], centre, atol=scale)
    assert patch.max() == pytest.approx(10, abs=2)


def test_the_feather_is_1_inside_and_falls_to_0() -> None:
    mask = feather(112)
    assert mask[56, 56] == 1
    assert mask[0].max() < 0.01
    assert (np.diff(mask[56, :56]) >= 0).all()
