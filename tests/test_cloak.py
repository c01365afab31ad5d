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
from PIL import Image
from scipy import ndimage
from skimage.metrics import structural_similarity

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
from photoveil.transforms.embedding.from_onnx import load_onnx
from photoveil.transforms.embedding.from_tfjs import load_tfjs
from photoveil.transforms.embedding.surrogates import SURROGATES, Surrogate, load_surrogate
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.faces.detect import detect_faces, load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.records import AlignedFace, Perturbation

PARAMETERS = CloakParameters(steps=10, known_steps=4, batch_size=3)
# A surrogate less takes seconds less to compile, so one is enough where any would show the same.
ONE = CloakParameters(steps=3, known_steps=3, batch_size=3, surrogates=("mobilefacenet",))
PHOTOS = ("obama.jpg", "biden.jpg", "astronaut.png")


@pytest.fixture(scope="module")
def crops(demo_photo: Callable[[str], Path]) -> np.ndarray:
    detector = load_retinaface(str(assets.fetch("retinaface.pb")))
    faces = []
    for name in PHOTOS:
        pixels = np.asarray(Image.open(demo_photo(name)).convert("RGB"))
        face = detect_faces(pixels, detector, DetectorParameters())[0]
        faces.append(crop_face(pixels, face_to_crop(face.landmarks)))
    return np.stack(faces)


@pytest.fixture(scope="module")
def optimizer() -> Optimizer:
    return load_optimizer(PARAMETERS)


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


def test_sface_agrees_with_the_reference_of_onnx(crops: np.ndarray) -> None:
    # In the file's own version 11 ONNX's reference mixes the image's own mean and variance in.
    model = onnx.version_converter.convert_version(onnx.load(assets.fetch("sface.onnx")), 15)
    images = crops[:2].astype(np.float32).transpose(0, 3, 1, 2)
    reference = ReferenceEvaluator(model)
    found = [reference.run(None, {"data": image[np.newaxis]}) for image in images]
    expected = np.concatenate([np.asarray(embedding) for (embedding,) in found])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(embeddings(load_surrogate("sface"), crops[:2]) - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([("Sigmoid", "image"), ("Relu", "a")], "operator Sigmoid of node 'a' is not known"),
        ([("PRelu", "image slope"), ("PRelu", "image slope")], "PRelu 'out' is not next"),
        ([("PRelu", "image slope"), ("Add", "a image")], "Add 'out' is not next"),
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


def test_texture_is_the_deviation_of_a_gaussian_neighbourhood(crops: np.ndarray) -> None:
    found = texture(tf.constant(crops[:1], tf.float32))[0, :, :, 0].numpy()
    luminance = crops[0] @ np.array([0.2126, 0.7152, 0.0722])
    mean, square = (ndimage.gaussian_filter(v, 2, truncate=3) for v in (luminance, luminance**2))
    inside = slice(6, -6)
    expected = np.sqrt(np.maximum(square - mean**2, 0))
    assert np.abs(found - expected)[inside, inside].max() < 0.05


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
    crops: np.ndarray, optimizer: Optimizer
) -> None:
    cloaks = optimizer.cloak(crops, [1, 2, 3])
    for crop, cloak in zip(crops, cloaks, strict=True):
        changed = np.clip(crop + cloak.change[..., np.newaxis], 0, 255)
        assert np.abs(cloak.change).max() <= PARAMETERS.max_change
        assert max(np.abs(cloak.change[[0, -1]]).max(), np.abs(cloak.change[:, [0, -1]]).max()) < 1
        pair = (tf.constant(image[np.newaxis], tf.float32) for image in (crop, changed))
        assert float(dssim(*pair)[0]) == pytest.approx(cloak.dssim, abs=1e-4)
        assert 0 < cloak.dssim <= 1.1 * PARAMETERS.dssim_budget
        for surrogate in map(load_surrogate, PARAMETERS.recognisers):
            clean, moved = embeddings(surrogate, np.stack([crop, changed]).astype(np.float32))
            assert 1 - clean @ moved > 0.15, surrogate.name


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
            assert np.array_equal(cloak.change, alone[face].change), (face, batch)


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


def test_more_faces_than_a_batch_are_refused(crops: np.ndarray, optimizer: Optimizer) -> None:
    with pytest.raises(ValueError, match="4 faces for a batch of 3"):
        optimizer.cloak(crops[[0, 0, 0, 0]], [1] * 4)


def test_one_shape_is_compiled_for_any_number_of_faces(crops: np.ndarray) -> None:
    optimizer = load_optimizer(ONE)
    starts = np.zeros((3, 112, 112), np.float16)
    for count in (3, 1, 2):
        optimizer.cloak(crops[:count], [1] * count)
        optimizer.cloak(crops[:count], [1] * count, starts[:count])
    assert optimizer.traces == 1  # people met first and people known alike


def test_low_frequencies_are_left_alone(crops: np.ndarray, optimizer: Optimizer) -> None:
    free = load_optimizer(replace(PARAMETERS, high_pass=0.0, surrogates=ONE.surrogates))
    largest = []
    for made in (optimizer, free):
        changes = np.stack([cloak.change for cloak in made.cloak(crops, [1, 2, 3])])
        largest.append(np.abs(ndimage.gaussian_filter(changes, (0, 5, 5))).max())
    assert largest[0] < 1  # of 255 levels: no shadow that could be seen
    assert largest[1] > 2


def test_smooth_skin_changes_less_than_textured_parts(
    crops: np.ndarray, optimizer: Optimizer
) -> None:
    contrast = texture(tf.constant(crops, tf.float32)).numpy()[:, 16:-16, 16:-16, 0]
    changes = np.stack([cloak.change for cloak in optimizer.cloak(crops, [1, 2, 3])])
    size = np.abs(changes[:, 16:-16, 16:-16])
    assert size[contrast < 6].mean() < 0.4 * size[contrast > 20].mean()


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
    smooth = texture(tf.constant(crops, tf.float32)).numpy()[..., 0] < 6
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
    starts = np.stack([cloak.change[:, ::-1] for cloak in optimizer.cloak(flipped, [1, 2, 3])])
    short = load_optimizer(ONE)
    from_nothing = short.cloak(crops, [1, 2, 3])
    from_start = short.cloak(crops, [1, 2, 3], starts.astype(np.float16))
    assert [cloak.steps for cloak in from_start] == [3, 3, 3]
    surrogate = load_surrogate("mobilefacenet")
    clean = embeddings(surrogate, crops)

    def likeness(cloaks: list[Perturbation]) -> np.ndarray:
        changed = crops + np.stack([cloak.change for cloak in cloaks])[..., np.newaxis]
        return np.sum(clean * embeddings(surrogate, changed), axis=1)

    assert (likeness(from_start) < likeness(from_nothing) - 0.05).all()


@pytest.mark.slow
def test_half_precision_moves_a_face_as_far(crops: np.ndarray, optimizer: Optimizer) -> None:
    half = load_optimizer(replace(PARAMETERS, precision="bfloat16"))
    for name in PARAMETERS.recognisers:
        surrogate = load_surrogate(name)
        clean = embeddings(surrogate, crops)
        full, coarse = (
            np.sum(clean * embeddings(surrogate, crops + np.stack(changes)[..., None]), axis=1)
            for changes in (
                [cloak.change for cloak in chosen.cloak(crops, [1, 2, 3])]
                for chosen in (optimizer, half)
            )
        )
        assert coarse == pytest.approx(full, abs=0.1), name


def test_poison_moves_a_face_to_its_target(crops: np.ndarray) -> None:
    surrogate = load_surrogate("mobilefacenet")
    clean = embeddings(surrogate, crops)
    target = clean[2]  # of another person
    poison = load_optimizer(replace(PARAMETERS, surrogates=ONE.surrogates, objective="poison"))
    poisoned, evading = (poison.cloak(crops[:1], [1], None, [aim])[0] for aim in (target, None))
    changed = [crops[0] + cloak.change[..., np.newaxis] for cloak in (poisoned, evading)]
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
    changed = [crops[0] + cloak[0].change[..., np.newaxis] for cloak in (poisoned, evading)]
    moved = embeddings(surrogate, np.stack(changed)) @ target
    assert moved[0] > clean[0] @ target + 0.3
    assert moved[0] > moved[1] + 0.3
    alone = poison.cloak(crops[:2], [1, 2])
    assert np.array_equal(poisoned[1].change, alone[1].change)
    away = [crops[1] + cloak[1].change[..., np.newaxis] for cloak in (poisoned, evading)]
    unlike = embeddings(surrogate, np.stack(away)) @ clean[1]
    assert unlike[0] < 0
    assert unlike[0] == pytest.approx(unlike[1], abs=0.1)  # compiled apart, so rounded otherwise


def test_faces_of_many_photos_are_cloaked_through_run_inference(crops: np.ndarray) -> None:
    faces = [AlignedFace(index, crop, str(index)) for index, crop in enumerate(crops)]

    def check(predictions: list[Any]) -> None:
        assert sorted(done.example.index for done in predictions) == [0, 1, 2]
        assert all(np.abs(done.inference.change).max() > 1 for done in predictions)

    with TestPipeline(runner=FnApiRunner()) as pipeline:
        done = pipeline | beam.Create(faces) | RunInference(CloakHandler(PARAMETERS))
        assert_that(done, check)
