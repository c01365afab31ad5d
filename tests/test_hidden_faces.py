"""A photo that shows nobody may hold another picture that shows somebody: no copy keeps that."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import piexif
import pytest
from PIL import Image, ImageFilter

from photoveil.pipeline.cli.verify_leaks import load_judges
from photoveil.pipeline.library import manifest
from photoveil.pipeline.settings import Settings
from photoveil.pipeline.state.people import People
from photoveil.transforms import codecs
from photoveil.transforms.codecs import DecodedPhoto
from photoveil.transforms.codecs.orientation import as_stored, upright
from photoveil.transforms.faces.parameters import DetectorParameters, PeopleParameters
from photoveil.transforms.leaks.clean_faces import inside
from photoveil.transforms.leaks.embedded_images import hidden
from photoveil.transforms.photo import codec_process
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import EmbeddedKind, EmbeddedPicture, Face
from tests.archives import QUICK, Archive
from tests.commands import hashes, invoked
from tests.support.carriers import jpeg, saved, small_jpeg
from tests.test_leaks import BUILDERS, UNSEEN, every_other

SIZE = (176, 220)
SHOWED = "another picture in the file showed a face"
MIN_FACE = DetectorParameters().min_face

Photo = Callable[[str], Path]


def scene(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Blots of colour, in which nobody is to be seen."""
    cells = np.random.default_rng(seed).integers(0, 255, (9, 7, 3), np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def faces_in(pixels: np.ndarray) -> list[Face]:
    return load_judges()[0](np.ascontiguousarray(pixels))


def shows_a_face(data: bytes) -> bool:
    """Whether any picture inside a file shows one, in any of the four turns."""
    return any(
        face.size >= MIN_FACE
        for one in hidden(data)
        if one.pixels is not None
        for way in (1, 3, 6, 8)
        for face in faces_in(upright(one.pixels, way))
    )


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory, demo_photo: Photo, request: pytest.FixtureRequest
) -> Archive:
    """Scenes in whose files a portrait, or another scene, is hidden, after a run.

    There is one for each kind that a test of this session asks for.
    """
    archive = Archive(tmp_path_factory.mktemp("hidden"))
    archive.photos.mkdir()
    portrait = opened(demo_photo("obama.jpg")).resize(SIZE)
    tests = [one for one in request.session.items if isinstance(one, pytest.Function)]
    asked = {one.callspec.params.get("kind") for one in tests if hasattr(one, "callspec")}
    for number, (kind, build) in enumerate(BUILDERS.items()):
        if kind not in asked:
            continue
        photo = scene(number)
        (archive.photos / f"{kind}.face").write_bytes(build(photo, portrait))
        if kind not in UNSEEN:  # what nobody can look into goes, whatever it shows
            (archive.photos / f"{kind}.scene").write_bytes(build(photo, scene(1000 + number)))
    archive.run()
    return archive


@pytest.mark.parametrize("kind", every_other(BUILDERS, 1))
def test_face_of_a_hidden_picture_is_not_published(archive: Archive, kind: str) -> None:
    name = f"{kind}.face"
    before, after = ((folder / name).read_bytes() for folder in (archive.photos, archive.out))
    row = archive.rows()[name]
    assert row["status"] == "no_face"
    if kind in UNSEEN:
        what = UNSEEN[kind]
        told = f"{what} in the file could not be searched for faces"
        assert told in row["notes"] or row["notes"] == [f"embedded {what} removed"]
    else:
        assert shows_a_face(before)
        assert SHOWED in row["notes"]
    assert any("removed" in note or "rebuilt" in note for note in row["notes"])
    assert not shows_a_face(after)
    assert all(one.pixels is not None for one in hidden(after))
    old, new = (codecs.decode(data, 10**9).pixels for data in (before, after))
    np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("kind", every_other(BUILDERS, 1, UNSEEN))
def test_hidden_picture_that_shows_nobody_stays(archive: Archive, kind: str) -> None:
    name = f"{kind}.scene"
    row = archive.rows()[name]
    assert (row["status"], row["notes"]) == ("no_face", [])
    assert (archive.out / name).read_bytes() == (archive.photos / name).read_bytes()


@pytest.mark.slow
def test_nothing_is_left_for_the_leak_scanner(archive: Archive) -> None:
    code, said = invoked("verify", archive.out, "--originals", archive.photos, "--leaks")
    assert (code, "No clean face hides in them." in said) == (0, True), said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["MPF preview", "after the end of a PNG", "HEIC thumbnail"])
def test_leak_scanner_finds_what_an_older_version_copied(
    archive: Archive, tmp_path: Path, kind: str
) -> None:
    older = Archive(tmp_path)
    older.photos.mkdir()
    name = f"{kind}.face"
    data = (archive.photos / name).read_bytes()
    (older.photos / name).write_bytes(data)
    (older.photos / "a.xmp").write_bytes(b"<x:xmpmeta></x:xmpmeta>")
    older.run()
    picture = b'<x:xmpmeta><a xmpGImg:image="%b"/></x:xmpmeta>'
    rows = older.rows()
    for output, old in ((name, data), ("a.xmp", picture % _base64_of(data))):
        (older.out / output).write_bytes(old)
        rows[output] |= {"output_size": len(old), "output_sha256": output, "output_version": 1}
    library = older.library
    manifest.write_part(list(rows.values()), library.manifest, library.scratch, "9")
    command = ["verify", older.out, "--originals", older.photos, "--leaks"]
    code, said = invoked(*command)
    assert code == 3
    assert "2 of them hold what they should not:" in said
    assert f"{name}: a face that is not in the photo itself" in said
    assert (
        "a.xmp: a face that is not in the photo itself, in the JPEG at byte 0 of the base64 at byte"
        in said
    )
    assert f"`photoveil run {older.photos} {older.out} --recloak`" in said
    older.run(recloak=True)
    assert invoked(*command)[0] == 0


def _base64_of(data: bytes) -> bytes:
    (one, *_) = hidden(data)
    assert one.pixels is not None
    return base64.b64encode(jpeg(Image.fromarray(one.pixels)))


def run_on(base: Path, files: dict[str, bytes], settings: Settings = QUICK) -> Archive:
    archive = Archive(base, settings)
    archive.photos.mkdir()
    for name, data in files.items():
        (archive.photos / name).write_bytes(data)
    archive.run()
    return archive


@pytest.mark.slow
def test_face_blurred_in_the_photo_is_not_kept_in_the_thumbnail(
    tmp_path: Path, demo_photo: Photo
) -> None:
    portrait = opened(demo_photo("obama.jpg")).resize((400, 500))
    around = scene(3, (1200, 900))
    around.paste(portrait, (300, 200))
    left, top, right, bottom = (round(side) for side in faces_in(np.asarray(around))[0].box)
    blurred = around.copy()
    place = (left - 20, top - 40, right + 20, bottom + 30)
    blurred.paste(around.crop(place).filter(ImageFilter.GaussianBlur(40)), place)
    assert faces_in(np.asarray(blurred)) == []
    files = {}
    for shown, picture in (("clean", around), ("blurred", blurred)):
        small, preview = (
            jpeg(picture.resize(size, Image.Resampling.LANCZOS), quality=85)
            for size in ((160, 120), (800, 600))
        )
        block = piexif.dump({"0th": {}, "1st": {259: 6}, "thumbnail": small})
        files[f"thumbnail.{shown}"] = jpeg(blurred, exif=block)
        files[f"preview.{shown}"] = jpeg(blurred) + preview
    archive = run_on(tmp_path, files)
    changed = {n for n, sha in hashes(archive.photos).items() if hashes(archive.out)[n] != sha}
    assert changed == {"thumbnail.clean", "preview.clean"}
    for name in changed:
        assert not shows_a_face((archive.out / name).read_bytes())
        assert SHOWED in archive.rows()[name]["notes"]


def test_thumbnail_that_is_only_turned_stays(tmp_path: Path) -> None:
    files = {}
    for way in range(1, 9):
        photo = scene(50 + way, (600, 400))
        turned = Image.fromarray(np.ascontiguousarray(as_stored(np.asarray(photo), way)))
        turned.thumbnail((160, 160))
        block = piexif.dump({"0th": {}, "1st": {259: 6}, "thumbnail": jpeg(turned, quality=85)})
        files[f"{way}.jpg"] = jpeg(photo, exif=block)
    archive = run_on(tmp_path, files)
    for name, data in files.items():
        assert (archive.out / name).read_bytes() == data, name
        assert archive.rows()[name]["notes"] == [], name


def test_picture_on_its_side_shows_somebody(tmp_path: Path, demo_photo: Photo) -> None:
    portrait = opened(demo_photo("obama.jpg")).resize((600, 750))
    quarter = portrait.rotate(90, expand=True)
    files = {
        "tagged.jpg": jpeg(scene(6)) + jpeg(quarter, exif=piexif.dump({"0th": {274: 6}})),
        "small.jpg": jpeg(scene(7)) + small_jpeg(quarter),
    }
    archive = run_on(tmp_path, files)
    assert all(SHOWED in row["notes"] for row in archive.rows().values())
    assert all(hidden((archive.out / name).read_bytes()) == [] for name in files)


def test_original_size_of_a_face_too_small_to_cloak(tmp_path: Path, demo_photo: Photo) -> None:
    portrait = opened(demo_photo("obama.jpg")).resize(SIZE)
    tiny, large = portrait.resize((120, 150)), portrait.resize((720, 900))
    settings = QUICK.model_copy(
        update={"detector": DetectorParameters(long_sides=(256,), min_face=80)}
    )
    small = jpeg(tiny) + small_jpeg(portrait.resize((72, 90)))
    archive = run_on(tmp_path, {"a.jpg": jpeg(tiny) + jpeg(large), "b.jpg": small}, settings)
    rows = archive.rows()
    assert {row["status"] for row in rows.values()} == {"unchanged"}
    assert SHOWED in rows["a.jpg"]["notes"]
    assert hidden((archive.out / "a.jpg").read_bytes()) == []
    assert (archive.out / "b.jpg").read_bytes() == small


@pytest.mark.slow
def test_somebody_else_beside_a_person_who_is_spared(tmp_path: Path, demo_photo: Photo) -> None:
    him, other = (opened(demo_photo(name)).resize(SIZE) for name in ("obama.jpg", "biden.jpg"))
    block = piexif.dump({"0th": {}, "1st": {259: 6}, "thumbnail": small_jpeg(him)})
    alone = jpeg(him, exif=block)
    archive = run_on(tmp_path, {"alone.jpg": alone, "both.jpg": jpeg(him) + jpeg(other)})
    names = [person.name for person in People(str(archive.state)).everyone()]
    assert len(names) == 1  # nobody is met in a hidden picture
    spared = {"people": PeopleParameters(spare=tuple(names))}
    archive.settings = QUICK.model_copy(update=spared)
    archive.run(recloak=True)
    rows = archive.rows()
    assert {row["status"] for row in rows.values()} == {"unchanged"}
    assert (archive.out / "alone.jpg").read_bytes() == alone
    assert SHOWED in rows["both.jpg"]["notes"]
    assert hidden((archive.out / "both.jpg").read_bytes()) == []


def test_duplicates_hold_no_more_than_what_they_are_copies_of(
    tmp_path: Path, demo_photo: Photo
) -> None:
    data = jpeg(scene(8)) + jpeg(opened(demo_photo("obama.jpg")).resize(SIZE))
    near = jpeg(scene(8), quality=80) + data[-2:] + jpeg(opened(demo_photo("biden.jpg")))
    archive = run_on(tmp_path, {"a.jpg": data, "b.jpg": data, "c.jpg": near})
    statuses = {name: row["status"] for name, row in archive.rows().items()}
    assert statuses == {"a.jpg": "no_face", "b.jpg": "duplicate", "c.jpg": "no_face"}
    assert all(hidden((archive.out / name).read_bytes()) == [] for name in statuses)


def test_rest_of_a_larger_picture_behind_a_cut_png_goes(tmp_path: Path) -> None:
    """As of programs that cut a screenshot and write it over the start of the old file."""
    cut, whole = (saved(scene(seed, size), "PNG") for seed, size in ((1, (90, 80)), (2, SIZE)))
    assert len(whole) > len(cut) + 1000
    archive = run_on(tmp_path, {"cut.png": cut + whole[len(cut) :]})
    row = archive.rows()["cut.png"]
    assert row["status"] == "no_face"
    assert "data after the end of the image removed" in row["notes"]
    assert (archive.out / "cut.png").read_bytes() == cut


def test_motion_photo_loses_its_video_alone(tmp_path: Path) -> None:
    photo, preview = scene(9), jpeg(scene(10, (120, 90)))
    block = piexif.dump({"0th": {}, "1st": {259: 6}, "thumbnail": preview})
    still = jpeg(photo, exif=block) + jpeg(scene(11))
    video = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(99)
    archive = run_on(tmp_path, {"a.jpg": still + video})
    assert (archive.out / "a.jpg").read_bytes() == still
    assert archive.rows()["a.jpg"]["notes"] == ["embedded video removed"]


def test_what_cannot_be_removed_is_not_published(
    tmp_path: Path, demo_photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait = opened(demo_photo("obama.jpg")).resize(SIZE)
    monkeypatch.setattr(codec_process, "alone", lambda data, *_: codecs.EncodedPhoto(data, ()))
    archive = run_on(tmp_path, {"a.jpg": jpeg(scene(12)) + jpeg(portrait)})
    row = archive.rows()["a.jpg"]
    assert row["status"] == "failed"
    assert row["reason"] == Reason.NOT_ALONE
    assert not (archive.out / "a.jpg").exists()


def test_pictures_of_the_photo_cost_no_detection_of_its_size() -> None:
    photo = scene(13, (2000, 1500))
    looked_at: list[tuple[int, ...]] = []

    def detect(pixels: np.ndarray) -> list[Face]:
        looked_at.append(pixels.shape)
        return []

    small, preview = photo.resize((160, 120)), photo.resize((1600, 1200))
    sharper = preview.filter(ImageFilter.UnsharpMask(8, 300, 0))
    gain_map = Image.fromarray(np.asarray(preview.convert("L")) // 2 + 60).convert("RGB")
    shown = DecodedPhoto("JPEG", np.asarray(photo), 1)

    def look(*pictures: Image.Image) -> None:
        found = [EmbeddedPicture("", np.asarray(one)) for one in pictures]
        assert inside(found, shown, [], detect, MIN_FACE) == []

    look(small, preview, photo, gain_map)
    assert looked_at == []
    look(sharper)
    assert all(max(shape) <= 640 for shape in looked_at)
    looked_at.clear()
    look(scene(14, (1600, 1200)))
    assert looked_at == [(1200, 1600, 3)]


@pytest.mark.parametrize("step", [8, pytest.param(2, marks=pytest.mark.slow)])
def test_real_camera_files_without_faces_stay(exif_data: Path, step: int) -> None:
    detect, checked = load_judges()[0], 0
    for path in sorted(exif_data.rglob("*.jpg"))[::step]:
        data = path.read_bytes()
        pictures = hidden(data)
        if not pictures:
            continue
        photo = codecs.decode(data, 10**9)
        if any(one.pixels is None or one.pixels.size > photo.pixels.size for one in pictures):
            continue  # samples that were shrunk: what they hold shows more than they do
        assert inside(pictures, photo, detect(photo.pixels), detect, MIN_FACE) == [], path.name
        checked += 1
    assert checked > 2


def test_undecodable_picture_cannot_be_looked_at() -> None:
    data = saved(scene(15), "PNG")
    odd = bytearray(jpeg(scene(16, (120, 90))))
    frame = odd.index(b"\xff\xc0")
    odd[frame + 1] = 0xC5  # hierarchical, which no decoder here knows
    (found,) = hidden(data + bytes(odd))
    assert (found.what, found.pixels) == (EmbeddedKind.PICTURE, None)
    (leak,) = inside([found], None, [], lambda _: [], MIN_FACE)
    assert leak.what == EmbeddedKind.PICTURE
    assert hidden(codecs.alone(data + bytes(odd)).data) == []
