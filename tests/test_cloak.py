"""The optimiser and its surrogates, on real faces."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import apache_beam as beam
import numpy as np
import onnx
import pytest
import tensorflow as tf
from apache_beam.ml.inference.base import RunInference
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that
from onnx.reference import ReferenceEvaluator
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.metrics import structural_similarity

from photoveil.transforms.cloak.budget import displacement_of
from photoveil.transforms.cloak.displacement import stretch
from photoveil.transforms.cloak.dssim import dssim
from photoveil.transforms.cloak.filters import texture
from photoveil.transforms.cloak.handler import CloakHandler, load_optimizer
from photoveil.transforms.cloak.jitter import jitter_matrices, warp
from photoveil.transforms.cloak.objective import OBJECTIVES
from photoveil.transforms.cloak.optimizer import Optimizer
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.cloak.precondition import PRECONDITIONERS
from photoveil.transforms.cloak.project import PROJECTIONS
from photoveil.transforms.cloak.space import SPACES
from photoveil.transforms.cloak.stiffness import stiffness
from photoveil.transforms.codecs.change import Patch, PhotoChange
from photoveil.transforms.codecs.photo import with_change
from photoveil.transforms.embedding.from_dlib import load_dlib
from photoveil.transforms.embedding.from_frozen import load_frozen
from photoveil.transforms.embedding.from_onnx import load_onnx
from photoveil.transforms.embedding.from_tfjs import load_tfjs
from photoveil.transforms.embedding.normalize import unit_length
from photoveil.transforms.embedding.surrogates import (
    FACENET_EMBEDDING,
    SURROGATES,
    Surrogate,
    load_surrogate,
)
from photoveil.transforms.faces.align import crop_face, face_to_crop, feather
from photoveil.transforms.faces.detect import detect_faces, load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.records import AlignedFace, PersonPrior, Perturbation

EVERY = CloakParameters(steps=10, known_steps=4, batch_size=3)
# A surrogate less takes seconds less to compile, so some are enough where any would show the same.
PARAMETERS = replace(EVERY, surrogates=("dlib", "faceplugin", "mobilefacenet"))
ONE = CloakParameters(steps=3, known_steps=3, batch_size=3, surrogates=("mobilefacenet",))
PHOTOS = ("obama.jpg", "biden.jpg", "astronaut.png")


@pytest.fixture(scope="module")
def aligned(demo_photo: Callable[[str], Path]) -> Callable[[str], np.ndarray]:
    """The face of a demo photo, aligned."""
    detector = load_retinaface(str(assets.fetch("retinaface.pb")))

    def crop(name: str) -> np.ndarray:
        pixels = np.asarray(Image.open(demo_photo(name)).convert("RGB"))
        face = detect_faces(pixels, detector, DetectorParameters())[0]
        return crop_face(pixels, face_to_crop(face.landmarks))

    return crop


@pytest.fixture(scope="module")
def crops(aligned: Callable[[str], np.ndarray]) -> np.ndarray:
    return np.stack([aligned(name) for name in PHOTOS])


@pytest.fixture(scope="module")
def optimizer() -> Optimizer:
    return load_optimizer(PARAMETERS)


@pytest.fixture(scope="module")
def cloaks(crops: np.ndarray, optimizer: Optimizer) -> list[Perturbation]:
    """What all surrogates make of the crops."""
    return optimizer.cloak(crops, [1, 2, 3])


def perturbed(crop: np.ndarray, cloak: Perturbation) -> np.ndarray:
    """The crop with its perturbation, as it is written."""
    patch = Patch(0, 0, cloak.change, cloak.shift)
    height, width = crop.shape[:2]
    return with_change(crop, PhotoChange(height, width, (patch,)))


def embeddings(surrogate: Surrogate, crops: np.ndarray) -> np.ndarray:
    return surrogate.embed(tf.constant(crops, tf.float32)).numpy()


def test_mobilefacenet_agrees_with_the_lite_interpreter(crops: np.ndarray) -> None:
    interpreter = tf.lite.Interpreter(str(assets.fetch("mobilefacenet.tflite")))
    interpreter.allocate_tensors()
    batch = (crops[:2].astype(np.float32) - 127.5) / 128
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = embeddings(load_surrogate("mobilefacenet"), crops[:2])
    assert np.abs(found - expected).max() < 1e-5


def test_faceres_agrees_with_tensorflow_js(crops: np.ndarray, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("needs node")
    side, node = 224, "global_pooling/Mean"
    image = Image.fromarray(crops[0]).resize((side, side))
    mean = np.array([103.939, 116.779, 123.68], np.float32)
    bgr = np.asarray(image, np.float32)[np.newaxis, ..., ::-1] - mean
    (tmp_path / "image.f32").write_bytes(bgr.astype("<f4").tobytes())
    files = [assets.fetch(name) for name in ("tf.min.js", "faceres.json", "faceres.bin")]
    script = Path(__file__).with_name("tfjs_embed.js")
    command = ["node", *map(str, (script, *files, tmp_path / "image.f32", side, node))]
    done = subprocess.run(command, capture_output=True, check=True, timeout=200)
    expected = np.array(json.loads(done.stdout))
    network = load_tfjs(str(files[1]), str(files[2]), node)
    assert np.abs(network(tf.constant(bgr)).numpy()[0] - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "entry", "middle", "scale"),
    [("sface", "data", 0, 1), ("faceplugin", "input", 127, 128)],
)
def test_it_agrees_with_the_reference_of_onnx(
    name: str, entry: str, middle: float, scale: float, crops: np.ndarray
) -> None:
    # In SFace's own version 11 ONNX's reference mixes the image's own mean and variance in.
    model = onnx.version_converter.convert_version(onnx.load(assets.fetch(f"{name}.onnx")), 15)
    images = (crops[:2].astype(np.float32).transpose(0, 3, 1, 2) - middle) / scale
    reference = ReferenceEvaluator(model)
    found = [reference.run(None, {entry: image[np.newaxis]}) for image in images]
    expected = np.concatenate([np.asarray(embedding) for (embedding,) in found])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(embeddings(load_surrogate(name), crops[:2]) - expected).max() < 1e-5


def test_what_two_layers_of_an_onnx_file_take_is_not_scaled_for_one_of_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    weights = {"kernel": rng.normal(size=(4, 3, 1, 1)), "bias": rng.normal(size=4), "two": [2.0]}
    whole: dict[str, Any] = {"group": 1, "dilations": [1, 1], "strides": [1, 1], "pads": [0] * 4}
    nodes = [
        onnx.helper.make_node("Conv", ["image", "kernel", "bias"], ["a"], **whole),
        onnx.helper.make_node("Dropout", ["a"], ["b"]),
        onnx.helper.make_node("Mul", ["b", "two"], ["c"]),
        onnx.helper.make_node("Add", ["a", "c"], ["out"]),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, 5, 5])
        for name, channels in (("image", 3), ("out", 4))
    ]
    held = [
        onnx.numpy_helper.from_array(np.asarray(values, np.float32), name)
        for name, values in weights.items()
    ]
    graph = onnx.helper.make_graph(nodes, "branches", ends[:1], ends[1:], held)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 15)])
    onnx.save(model, tmp_path / "made.onnx")
    image = rng.normal(size=(1, 3, 5, 5)).astype(np.float32)
    (expected,) = ReferenceEvaluator(model).run(None, {"image": image})
    found = load_onnx(str(tmp_path / "made.onnx"))(tf.constant(image.transpose(0, 2, 3, 1)))
    assert found.numpy() == pytest.approx(
        np.asarray(expected).transpose(0, 2, 3, 1).reshape(1, -1), abs=1e-5
    )


def test_facenet_agrees_with_the_graph_as_tensorflow_runs_it(crops: np.ndarray) -> None:
    graph = tf.compat.v1.GraphDef.FromString(assets.fetch("facenet.pb").read_bytes())
    whole = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(graph, name=""), []
    ).prune("input:0", "embeddings:0")
    # The file was frozen for one face at a time.
    images = [np.asarray(Image.fromarray(crop).resize((160, 160)), np.float32) for crop in crops]
    levels = [tf.constant((image[np.newaxis] - 127.5) / 128) for image in images]
    expected = np.concatenate([whole(one).numpy() for one in levels])
    network = load_frozen(str(assets.fetch("facenet.pb")), FACENET_EMBEDDING)
    found = unit_length(network(tf.concat(levels, 0))[:, 0, 0]).numpy()
    assert np.abs(found - expected).max() < 1e-5


def test_dlib_agrees_with_dlib(demo_photo: Callable[[str], Path]) -> None:
    dlib = pytest.importorskip("dlib", reason="the extra evaluate is not installed")
    weights = str(assets.fetch("dlib_resnet.dat"))
    images = [Image.open(demo_photo(name)).convert("RGB") for name in PHOTOS]
    chips = np.stack([np.asarray(image.resize((150, 150))) for image in images])
    expected = dlib.face_recognition_model_v1(weights).compute_face_descriptor(list(chips))
    found = load_dlib(weights)(tf.constant(chips, tf.float32)).numpy()
    assert np.abs(found - np.array(expected)).max() < 1e-5


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([("Sigmoid", "image"), ("Relu", "a")], "operator Sigmoid of node 'a' is not known"),
        ([("PRelu", "image slope"), ("Mul", "a image")], "Mul 'out' with 2 inputs is not known"),
        ([("PRelu", "image slope"), ("Add", "a slope")], "Add 'out' with 1 inputs is not known"),
        ([("PRelu", "image slope"), ("Conv", "a slope")], "Conv 'out' does not say its 'group'"),
    ],
)
def test_onnx_that_it_does_not_know_is_refused(
    nodes: list[tuple[str, str]], reason: str, tmp_path: Path
) -> None:
    made = [
        onnx.helper.make_node(kind, sources.split(), [name], name)
        for (kind, sources), name in zip(nodes, ("a", "out"), strict=True)
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8])
        for name in ("image", "out")
    ]
    slope = onnx.numpy_helper.from_array(np.full((3, 1, 1), 0.1, np.float32), "slope")
    graph = onnx.helper.make_graph(made, "two", ends[:1], ends[1:], [slope])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "made.onnx")
    with pytest.raises(ValueError, match=reason):
        load_onnx(str(tmp_path / "made.onnx"))


@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_tells_people_apart(
    name: str, crops: np.ndarray, demo_photo: Callable[[str], Path]
) -> None:
    detector = load_retinaface(str(assets.fetch("retinaface.pb")))
    pixels = np.asarray(Image.open(demo_photo("obama2.jpg")).convert("RGB"))
    face = detect_faces(pixels, detector, DetectorParameters())[0]
    again = crop_face(pixels, face_to_crop(face.landmarks))
    surrogate = load_surrogate(name)
    likeness = embeddings(surrogate, again[np.newaxis]) @ embeddings(surrogate, crops).T
    assert likeness.argmax() == 0


@pytest.mark.parametrize("name", SURROGATES)
def test_gradients_agree_with_finite_differences(name: str, crops: np.ndarray) -> None:
    surrogate = load_surrogate(name)
    clean = tf.constant(crops[:1], tf.float32)
    other = tf.stop_gradient(surrogate.embed(tf.constant(crops[1:2], tf.float32)))

    def likeness(images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(surrogate.embed(images) * other)

    with tf.GradientTape() as tape:
        tape.watch(clean)
        value = likeness(clean)
    gradient = tape.gradient(value, clean)
    direction = gradient / tf.norm(gradient)
    step = 3.0
    numeric = (likeness(clean + step * direction) - likeness(clean - step * direction)) / (2 * step)
    assert abs(float(numeric) / float(tf.norm(gradient)) - 1) < 0.15


# What threads halve may be rounded otherwise there: two halve the middle one of three faces. And
# processors compute eight numbers at once, and otherwise the four that are left of twelve.
@pytest.mark.parametrize("size", [3, pytest.param(12, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SURROGATES)
def test_a_face_gets_the_same_gradient_anywhere_in_a_batch(
    name: str, size: int, crops: np.ndarray
) -> None:
    surrogate = load_surrogate(name)
    towards = surrogate.embed(tf.constant(crops[::-1][:1], tf.float32))

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def gradient(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            likeness = tf.reduce_sum(surrogate.embed(images) * towards, axis=-1)
        return tape.gradient(likeness, images)

    whole = np.resize(np.arange(3), size)
    first = gradient(tf.constant(crops[whole], tf.float32)).numpy()
    assert np.abs(first).max() > 0
    for turn in range(1, 3):
        again = gradient(tf.constant(crops[np.roll(whole, turn)], tf.float32)).numpy()
        assert np.array_equal(np.roll(again, -turn, axis=0), first)


def test_dssim_is_that_of_scikit_image(crops: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    noisy = np.clip(crops + rng.normal(0, 6, crops.shape), 0, 255)
    found = dssim(tf.constant(crops, tf.float32), tf.constant(noisy, tf.float32)).numpy()
    for clean, changed, value in zip(crops.astype(np.float64), noisy, found, strict=True):
        _, full = structural_similarity(
            *(clean, changed),
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        # TensorFlow leaves out the border where the window does not fit.
        expected = (1 - full[5:-5, 5:-5].mean()) / 2
        assert value == pytest.approx(expected, abs=1e-4)
    as_in_fawkes = tf.image.ssim(tf.constant(crops, tf.float32), noisy.astype(np.float32), 255)
    assert np.abs(found - (1 - as_in_fawkes.numpy()) / 2).max() < 1e-5
    assert np.abs(dssim(*[tf.constant(crops, tf.float32)] * 2).numpy()).max() < 1e-6


def test_texture_is_the_contrast_of_fine_detail(crops: np.ndarray) -> None:
    found = texture(tf.constant(crops[:1], tf.float32))[0, :, :, 0].numpy()
    luminance = crops[0] @ np.array([0.2126, 0.7152, 0.0722])
    detail = luminance - ndimage.gaussian_filter(luminance, 1, truncate=3)
    expected = np.sqrt(ndimage.gaussian_filter(detail**2, 2, truncate=3))
    inside = slice(12, -12)
    assert np.abs(found - expected)[inside, inside].max() < 0.05


def test_a_slope_and_a_blurred_face_hide_no_line(crops: np.ndarray) -> None:
    slope = np.broadcast_to(np.arange(112, dtype=np.float32)[:, np.newaxis], (112, 112)) * 2
    soft = ndimage.gaussian_filter(crops.astype(np.float32), (0, 4, 4, 0))
    seen = [slope[np.newaxis, ..., np.newaxis].repeat(3, axis=3), crops, soft]
    inside = slice(16, -16)
    on_slope, on_faces, on_soft = (
        texture(tf.constant(images, tf.float32)).numpy()[:, inside, inside].max() for images in seen
    )
    assert on_slope < 0.1
    assert on_soft < on_faces / 8


@pytest.mark.parametrize("angle", [0, 7, 30])
def test_the_edge_of_the_photo_hides_no_line_and_is_not_stiff(
    crops: np.ndarray, angle: float
) -> None:
    """A face that the frame cuts off, smooth up to there: outside of the photo a crop is black."""
    frame = Image.new("L", (112, 112))
    ImageDraw.Draw(frame).rectangle((8, 24, 100, 120), fill=255)
    inside = np.asarray(frame.rotate(angle))[..., np.newaxis] > 0
    grey = np.where(inside, 150, 0).repeat(3, axis=2)[np.newaxis]
    changed = feather()[np.newaxis, ..., np.newaxis] > 0.1
    for measure in (texture, stiffness):
        assert measure(tf.constant(grey, tf.float32)).numpy()[changed].max() < 0.01
    # Far from the edge all is as in the whole face.
    cut, whole = (
        [measure(tf.constant(images, tf.float32)).numpy() for measure in (texture, stiffness)]
        for images in (np.where(inside, crops, 0), crops)
    )
    far = ndimage.binary_erosion(inside[..., 0], iterations=16)
    for one, other in zip(cut, whole, strict=True):
        assert np.abs(one - other)[:, far].max() < 0.05


def test_warp_by_nothing_changes_nothing_and_by_a_shift_shifts(crops: np.ndarray) -> None:
    images = tf.constant(crops[:1], tf.float32)
    still = tf.constant([[[1.0, 0, 0], [0, 1, 0]]])
    assert np.array_equal(warp(images, still).numpy(), images.numpy())
    moved = warp(images, tf.constant([[[1.0, 0, 2], [0, 1, 3]]])).numpy()
    assert np.allclose(moved[0, :-3, :-2], crops[0, 3:, 2:], atol=1e-3)


def test_jitter_hangs_on_the_seed_alone() -> None:
    one, two = (jitter_matrices(seed, 112, 10, PARAMETERS) for seed in (7, 7))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, jitter_matrices(8, 112, 10, PARAMETERS))


def test_jitter_mirrors_half_of_the_time_about_the_middle() -> None:
    matrices = jitter_matrices(7, 112, 1000, PARAMETERS)
    mirrored = np.linalg.det(matrices[:, :, :2]) < 0
    assert 450 < mirrored.sum() < 550
    middle = np.array([55.5, 55.5, 1])
    assert np.abs((matrices @ middle).mean(axis=0) - 55.5).max() < 0.2
    eye = np.array([38.0, 52.0, 1])
    assert (matrices[mirrored] @ eye).mean(axis=0) == pytest.approx([73, 52], abs=0.5)


def test_a_cloak_moves_every_surrogate_within_its_limits(
    crops: np.ndarray, cloaks: list[Perturbation]
) -> None:
    for crop, cloak in zip(crops, cloaks, strict=True):
        assert np.abs(cloak.change).max() <= PARAMETERS.max_change
        for axis in (0, 1):
            ends = np.take(cloak.stacked, (0, -1), axis)
            assert np.abs(ends).max() < 0.1
        peak, rms, stretched = displacement_of(cloak)
        assert 0.5 * PARAMETERS.shift_peak < peak <= PARAMETERS.shift_peak
        assert 0.5 * PARAMETERS.shift_rms < rms <= 1.001 * PARAMETERS.shift_rms
        assert 0.1 < stretched <= 1.001 * PARAMETERS.max_stretch
        drawn = np.clip(crop + cloak.change[..., np.newaxis], 0, 255)
        pair = (tf.constant(image[np.newaxis], tf.float32) for image in (crop, drawn))
        assert float(dssim(*pair)[0]) == pytest.approx(cloak.dssim, abs=1e-4)
        assert 0 < cloak.dssim <= 1.1 * PARAMETERS.dssim_budget
        assert_moved(crop, cloak, PARAMETERS)


def assert_moved(crop: np.ndarray, cloak: Perturbation, parameters: CloakParameters) -> None:
    """Each surrogate sees somebody else."""
    for surrogate in map(load_surrogate, parameters.recognisers):
        both = np.stack([crop, perturbed(crop, cloak)]).astype(np.float32)
        clean, moved = embeddings(surrogate, both)
        assert 1 - clean @ moved > 0.08, surrogate.name


@pytest.mark.slow
def test_a_cloak_against_all_surrogates_moves_each_of_them(crops: np.ndarray) -> None:
    cloaks = load_optimizer(EVERY).cloak(crops, [1, 2, 3])
    for crop, cloak in zip(crops, cloaks, strict=True):
        assert_moved(crop, cloak, EVERY)


# What threads halve may be rounded otherwise there: two halve the middle one of three faces. And
# processors compute eight numbers at once, and otherwise the four that are left of twelve.
@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(CloakParameters(steps=6), id="8", marks=pytest.mark.slow),  # all surrogates
        pytest.param(ONE, id="3"),
        *(
            pytest.param(replace(ONE, batch_size=size), id=str(size), marks=pytest.mark.slow)
            for size in (4, 12)
        ),
    ],
)
def test_a_face_gets_the_same_cloak_in_any_batch(
    crops: np.ndarray, parameters: CloakParameters
) -> None:
    optimizer = load_optimizer(parameters)
    alone = [optimizer.cloak(crops[[face]], [face])[0] for face in range(3)]
    for batch in ([2, 1, 0], [0, 1, 2, 1], [1, 2, 0, 1, 2, 0, 0, 2, 1, 1, 2, 0]):
        batch = batch[-parameters.batch_size :]
        for face, cloak in zip(batch, optimizer.cloak(crops[batch], batch), strict=True):
            assert np.array_equal(cloak.stacked, alone[face].stacked), (face, batch)


@pytest.mark.slow
def test_it_does_so_where_tensorflow_has_no_onednn() -> None:
    # What TensorFlow takes is decided once in a process.
    test = f"{__file__}::{test_a_face_gets_the_same_cloak_in_any_batch.__name__}[3]"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", test],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_a_gpu_multiplies_in_full_precision() -> None:
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_a_prototype_leads_away_from_the_person(
    aligned: Callable[[str], np.ndarray],
) -> None:
    """Farther from the person's other photos than the embedding of the photo itself does."""
    parameters = replace(ONE, steps=10)
    optimizer = load_optimizer(parameters)
    person = np.stack([aligned(f"{name}.jpg") for name in ("obama", "obama2", "obama3")])
    prototype = optimizer.embed(person).mean(axis=0).astype(np.float16)
    face = AlignedFace(0, person[0], "1")
    handler = CloakHandler(parameters)
    alone, led = (
        next(iter(handler.answers([replace(face, known=known)], optimizer)))
        for known in (None, PersonPrior(prototype=prototype))
    )
    clean, *cloaked = (
        embeddings(load_surrogate("mobilefacenet"), faces)
        for faces in (
            person[1:],
            *(perturbed(person[0], made)[np.newaxis] for made in (alone, led)),
        )
    )
    own, of_person = (float((clean @ found[0]).mean()) for found in cloaked)
    assert of_person < own - 0.02


def test_a_prototype_counts_for_its_face_alone(crops: np.ndarray) -> None:
    handler, optimizer = CloakHandler(ONE), load_optimizer(ONE)
    (other,) = optimizer.embed(crops[[1]])
    known = (None, PersonPrior(prototype=other.astype(np.float16)), None)
    faces = [AlignedFace(n, crops[n], str(n), known[n]) for n in range(3)]
    faces[2] = replace(faces[2], embedding=optimizer.embed(crops[[2]])[0])  # computed before
    plain = handler.answers([replace(face, known=None) for face in faces], optimizer)
    together = handler.answers(faces, optimizer)
    for face, made, usual in zip(faces, together, plain, strict=True):
        (alone,) = handler.answers([face], optimizer)
        assert np.array_equal(made.stacked, alone.stacked)
        assert np.array_equal(made.stacked, usual.stacked) == (face.known is None)


def test_known_people_are_embedded_by_their_surrogates_alone(crops: np.ndarray) -> None:
    some = load_optimizer(replace(PARAMETERS, known_surrogates=("mobilefacenet",)))
    everyone, known = (some.embed(crops, known) for known in (False, True))
    first = 128 + 512  # dimensions of dlib and faceplugin
    assert np.array_equal(known[:, first:], everyone[:, first:])
    assert everyone[:, :first].any(axis=1).all()
    assert not known[:, :first].any()


def test_more_faces_than_a_batch_are_refused(crops: np.ndarray, optimizer: Optimizer) -> None:
    with pytest.raises(ValueError, match="4 faces for a batch of 3"):
        optimizer.cloak(crops[[0, 0, 0, 0]], [1] * 4)


def test_one_shape_is_compiled_for_any_number_of_faces(crops: np.ndarray) -> None:
    optimizer = load_optimizer(ONE)
    starts = np.zeros((3, 112, 112, 3), np.float16)
    for count in (3, 1, 2):
        optimizer.cloak(crops[:count], [1] * count)
        optimizer.cloak(crops[:count], [1] * count, starts[:count])
    assert optimizer.traces == 1  # for new people and for known ones


def test_low_frequencies_are_left_alone(crops: np.ndarray, cloaks: list[Perturbation]) -> None:
    free = load_optimizer(replace(PARAMETERS, high_pass=0.0, surrogates=ONE.surrogates))
    largest = []
    for made in (cloaks, free.cloak(crops, [1, 2, 3])):
        changes = np.stack([cloak.change for cloak in made])
        largest.append(np.abs(ndimage.gaussian_filter(changes, (0, 5, 5))).max())
    assert largest[0] < 1  # of 255 levels: no shadow that could be seen
    assert largest[1] > 2


def test_smooth_skin_changes_less_than_textured_parts(
    crops: np.ndarray, cloaks: list[Perturbation]
) -> None:
    contrast = texture(tf.constant(crops, tf.float32)).numpy()[:, 16:-16, 16:-16, 0]
    changes = np.stack([cloak.change for cloak in cloaks])
    size = np.abs(changes[:, 16:-16, 16:-16])
    assert size[contrast < 2].mean() < 0.4 * size[contrast > 7].mean()


def test_stretch_is_the_largest_singular_value_of_the_jacobian() -> None:
    y, x = np.mgrid[:16, :16].astype(np.float32)
    linear = np.array([[0.1, 0.04], [-0.02, 0.05]], np.float32)
    field = np.stack([x, y], axis=-1) @ linear.T
    found = stretch(tf.constant(field[np.newaxis])).numpy()
    assert found == pytest.approx(np.linalg.norm(linear, ord=2), rel=1e-3)


def test_a_steep_place_is_flattened_alone() -> None:
    parameters = replace(ONE, shift_rms=20.0)
    space = SPACES["displacement"](tf.zeros((1, 112, 112, 3)), parameters)
    variable = np.zeros((1, 112, 112, 3), np.float32)
    variable[..., 0] = np.sin(np.arange(112) / 8)
    gentle, _ = space.finish(space.project(tf.constant(variable)))
    variable[:, 54:58, 80:84, 1] = 5 * np.array([1, 1, -1, -1])
    made, _ = space.finish(space.project(tf.constant(variable)))
    assert stretch(made[..., :2]).numpy().max() <= parameters.max_stretch * 1.001
    far, usual = (field[:, 16:-16, 16:60, 0].numpy() for field in (made, gentle))
    assert np.abs(far - usual).max() < 0.1 * np.abs(usual).max()


def test_straight_edges_are_stiff_and_curved_or_faint_ones_are_not() -> None:
    y, x = np.mgrid[:112, :112]
    bar = np.where(np.abs(x - 40) < 4, 40.0, 200.0)  # a door post
    dot = np.where(np.hypot(x - 30, y - 92) < 3, 40.0, 200.0)  # a mole
    faint = np.where(x < 56, 198.0, 200.0)
    crops = np.repeat(np.stack([bar, dot, faint])[..., np.newaxis], 3, axis=-1)
    found = stiffness(tf.constant(crops, tf.float32)).numpy()[..., 0]
    assert found[0, 20:-20, 37:44].min() > 0.9
    assert found[0, :, 80:].max() < 0.05
    assert found[1, 91:94, 29:32].max() < 0.1
    assert found[2].max() < 0.05


@pytest.mark.parametrize("level", [0, 20])
def test_spectacles_are_stiff_and_bare_faces_are_not(crops: np.ndarray, level: int) -> None:
    """Frames are drawn on real faces: two dark rims and a bridge."""
    worn = crops.copy()
    y, x = np.mgrid[:112, :112]
    rims = np.minimum(*(np.abs(np.hypot(x - eye, 1.3 * (y - 54)) - 14) for eye in (38, 74)))
    frame = (rims < 1.5) | ((np.abs(y - 50) < 1.5) & (np.abs(x - 56) < 6))
    worn[:, frame] = level
    bare, stiff = (
        stiffness(tf.constant(images, tf.float32)).numpy()[..., 0] for images in (crops, worn)
    )
    assert (stiff[:, frame].min(axis=1) > 0.8).all()
    assert (bare[:, frame].mean(axis=1) < 0.5).all()


def test_a_straight_edge_bends_in_long_waves_only(crops: np.ndarray) -> None:
    """A door post through the face: its edge moves, and stays straight over a few pixels."""
    posts = crops.copy()
    posts[:, :, 30:34] = 20
    waves = []
    for parameters in (ONE, replace(ONE, stiff_sigma=ONE.shift_sigma)):
        made = load_optimizer(parameters)
        shift = np.stack([cloak.shift for cloak in made.cloak(posts, [1, 2, 3])])
        waves.append(np.abs(np.diff(shift[:, 20:-20, 32, 0], n=2, axis=1)).mean())
    assert waves[0] < 0.6 * waves[1]


def test_every_name_that_the_settings_take_is_there() -> None:
    hints = get_type_hints(CloakParameters)
    assert set(get_args(hints["perturbation"])) == SPACES.keys()
    assert set(get_args(hints["objective"])) == OBJECTIVES.keys()
    assert set(get_args(hints["preconditioner"])) == PRECONDITIONERS.keys()
    assert set(get_args(hints["projection"])) == PROJECTIONS.keys()


def test_parts_of_the_optimiser_are_swapped_by_name(crops: np.ndarray) -> None:
    plain = replace(ONE, dssim_budget=0.002)
    usual = load_optimizer(plain).cloak(crops, [1, 2, 3])
    swapped = load_optimizer(replace(plain, preconditioner="none", projection="cap")).cloak(
        crops, [1, 2, 3]
    )
    smooth = texture(tf.constant(crops, tf.float32)).numpy()[..., 0] < 2
    for cloak, other, where in zip(usual, swapped, smooth, strict=True):
        on_skin, on_skin_unmasked = (
            np.abs(one.change)[where].mean() / np.abs(one.change).mean() for one in (cloak, other)
        )
        assert on_skin_unmasked > 1.5 * on_skin  # no preconditioner
        # No projection onto the budget.
        assert cloak.dssim < 1.1 * plain.dssim_budget < other.dssim
        assert np.abs(other.change).max() <= plain.max_change


def test_a_start_is_worth_steps(crops: np.ndarray, optimizer: Optimizer) -> None:
    flipped = np.ascontiguousarray(crops[:, :, ::-1])
    starts = np.stack([cloak.stacked[:, ::-1] for cloak in optimizer.cloak(flipped, [1, 2, 3])])
    starts[..., 0] *= -1  # in a mirror, left is right
    short = load_optimizer(ONE)
    from_nothing = short.cloak(crops, [1, 2, 3])
    from_start = short.cloak(crops, [1, 2, 3], starts.astype(np.float16))
    assert [cloak.steps for cloak in from_start] == [3, 3, 3]
    surrogate = load_surrogate("mobilefacenet")
    clean = embeddings(surrogate, crops)

    def likeness(cloaks: list[Perturbation]) -> np.ndarray:
        changed = np.stack(list(map(perturbed, crops, cloaks)))
        return np.sum(clean * embeddings(surrogate, changed), axis=1)

    assert (likeness(from_start) < likeness(from_nothing) - 0.05).all()


def test_known_people_take_those_of_the_surrogates_that_are_named_for_them() -> None:
    assert set(CloakParameters().recognisers) == set(CloakParameters().known_turns)
    some = CloakParameters(known_surrogates=("dlib", "sface"))
    assert some.known_turns == ("dlib", "sface")
    assert replace(some, surrogates=("facenet", "dlib")).known_turns == ("dlib",)
    others = ("facenet", "faceres")
    assert replace(some, surrogates=others).known_turns == others


@pytest.mark.slow
def test_half_precision_moves_a_face_as_far(crops: np.ndarray) -> None:
    optimizer, half = (
        load_optimizer(replace(EVERY, precision=one)) for one in ("float32", "bfloat16")
    )
    for name in EVERY.recognisers:
        surrogate = load_surrogate(name)
        clean = embeddings(surrogate, crops)
        full, coarse = (
            np.sum(clean * embeddings(surrogate, np.stack(changed)), axis=1)
            for changed in (
                list(map(perturbed, crops, chosen.cloak(crops, [1, 2, 3])))
                for chosen in (optimizer, half)
            )
        )
        assert coarse == pytest.approx(full, abs=0.1), name


def test_poison_moves_a_face_to_its_target(crops: np.ndarray) -> None:
    surrogate = load_surrogate("mobilefacenet")
    clean = embeddings(surrogate, crops)
    target = clean[2]  # of another person
    one = replace(PARAMETERS, surrogates=ONE.surrogates, objective="poison", batch_size=1)
    poison = load_optimizer(one)
    poisoned, evading = (poison.cloak(crops[:1], [1], None, [aim])[0] for aim in (target, None))
    changed = [perturbed(crops[0], cloak) for cloak in (poisoned, evading)]
    moved = embeddings(surrogate, np.stack(changed)) @ target
    assert moved[0] > clean[0] @ target + 0.3
    assert moved[0] > moved[1] + 0.3


@pytest.mark.slow
def test_poison_moves_a_face_to_its_target_and_others_away(crops: np.ndarray) -> None:
    surrogate = load_surrogate("mobilefacenet")
    clean = embeddings(surrogate, crops)
    target = clean[2]  # of another person
    poison = load_optimizer(replace(PARAMETERS, objective="poison"))
    evade = load_optimizer(PARAMETERS)
    poisoned = poison.cloak(crops[:2], [1, 2], None, [target, None])
    evading = evade.cloak(crops[:2], [1, 2], None, [target, None])
    changed = [perturbed(crops[0], cloak[0]) for cloak in (poisoned, evading)]
    moved = embeddings(surrogate, np.stack(changed)) @ target
    assert moved[0] > clean[0] @ target + 0.3
    assert moved[0] > moved[1] + 0.3
    alone = poison.cloak(crops[:2], [1, 2])
    assert np.array_equal(poisoned[1].stacked, alone[1].stacked)
    away = [perturbed(crops[1], cloak[1]) for cloak in (poisoned, evading)]
    unlike = embeddings(surrogate, np.stack(away)) @ clean[1]
    assert unlike[0] < 0.1
    assert unlike[0] == pytest.approx(unlike[1], abs=0.1)  # compiled apart, so rounded otherwise


def test_faces_of_many_photos_are_cloaked_through_run_inference(crops: np.ndarray) -> None:
    faces = [AlignedFace(index, crop, str(index)) for index, crop in enumerate(crops)]

    def check(predictions: list[Any]) -> None:
        assert sorted(done.example.index for done in predictions) == [0, 1, 2]
        assert all(np.abs(done.inference.shift).max() > 0.1 for done in predictions)

    with TestPipeline(runner=FnApiRunner()) as pipeline:
        done = pipeline | beam.Create(faces) | RunInference(CloakHandler(PARAMETERS))
        assert_that(done, check)
