"""`photoveil report`: what the page is given, which pictures it makes, and where they may lie."""

from __future__ import annotations

import io
import json
import os
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from rich.console import Console

from photoveil.pipeline.cli.report import make_report
from photoveil.pipeline.evaluation import report as evaluation_report
from photoveil.pipeline.evaluation.evaluate import Evaluation
from photoveil.pipeline.library import manifest, state_folder
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.library.library import reopen_library
from photoveil.pipeline.report import advice, evaluation_file, rows
from photoveil.transforms.evaluate.conditions import AS_WRITTEN
from photoveil.transforms.evaluate.metrics import Tally
from photoveil.transforms.evaluate.tracker import FORWARD, RANK_1, Finding, Study
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.reasons import Reason, matches
from photoveil.transforms.records import Status
from tests.archives import Archive
from tests.commands import hashes, invoked

QUIET = Console(quiet=True)
HAVE_AN_OUTPUT = (
    *(Reason.TINY_FACES, Reason.SPARED_FACES),
    *(Reason.LEFT_FACES, Reason.LEFT_PHOTO),
)


def script(file: Path) -> Any:
    """What a data file of a report hands to the page."""
    text = file.read_text("ascii")
    return json.loads(text[text.index("(") + 1 : text.rindex(")")])


def columns(archive: Archive) -> dict[str, Any]:
    """The columns of the report of an archive, with names in place of their numbers."""
    index = script(archive.state / "report/data/index.js")
    found = dict(index["columns"])
    for name, texts in index["names"].items():
        found[name] = [texts[place] for place in found[name]]
    return found


def test_the_page_has_a_row_for_each_row_of_the_manifest(archive: Archive) -> None:
    make_report(archive.library, QUIET)
    found, there = columns(archive), archive.rows()
    pairs = zip(found["folder"], found["file"], strict=True)
    names = ["/".join(filter(None, pair)) for pair in pairs]
    assert names == sorted(there)
    assert [there[name]["status"] for name in names] == found["status"]
    assert [there[name]["reason"] or "" for name in names] == found["reason"]
    details = [row for n in range(2) for row in details_of(archive, n)]
    for name, flip, detail in zip(names, found["measures"]["flip"], details, strict=True):
        faces = there[name]["faces"]
        assert flip == (round(1e4 * max(face["flip"] for face in faces)) if faces else -1)
        assert detail["sha"] == there[name]["source_sha256"]
        assert len(detail["faces"]) == len(faces)


def details_of(archive: Archive, chunk: int) -> list[Any]:
    file = archive.state / f"report/data/{chunk}.js"
    return script(file)[1] if file.exists() else []


def test_people_are_those_of_the_private_state(archive: Archive) -> None:
    make_report(archive.library, QUIET)
    persons = script(archive.state / "report/data/index.js")["persons"]
    who = Counter(
        persons[face["person"]]["id"] for row in details_of(archive, 0) for face in row["faces"]
    )
    assert persons and all(who[person["id"]] for person in persons)
    for person in persons:
        assert person["pictures"]
        for picture in person["pictures"]:
            assert Image.open(archive.state / "report" / picture).format == "WEBP"


def test_a_report_shows_no_uncloaked_pixel_unless_a_browser_cannot(archive: Archive) -> None:
    row = next(row for row in archive.rows().values() if row["status"] == Status.CLOAKED)
    with Image.open(archive.photos / row["source"]) as photo:
        photo.save(archive.photos / "scan.tif")
    archive.run()
    make_report(archive.library, QUIET)
    report, rows_ = archive.state / "report", archive.rows()
    for row in rows_.values():
        if row["output"] is not None and row["width"]:
            key = row["output_sha256"][:20]
            data = (archive.out / row["output"]).read_bytes()
            drawn = codec_process.preview(data, 320, ReadLimits())
            assert (report / "thumbnails" / key[:2] / f"{key}.webp").read_bytes() == drawn
    key = rows_["scan.tif"]["output_sha256"][:20]
    for part in ("before", "after"):
        assert [path.stem for path in (report / part).rglob("*.webp")] == [key]


def test_a_portable_report_leads_nowhere_else(archive: Archive) -> None:
    make_report(archive.library, QUIET, portable=True)
    report = archive.state / "report"
    index = script(report / "data/index.js")
    assert index["originals"] == index["published"] == ""
    for key in filter(None, index["columns"]["picture"]):
        for part in ("before", "after"):
            assert (report / part / key[:2] / f"{key}.webp").is_file()
    # The next one, which is not asked for these, takes the clean copies away.
    make_report(archive.library, QUIET)
    assert not list((report / "before").rglob("*.webp"))


def test_pictures_are_drawn_once(archive: Archive) -> None:
    make_report(archive.library, QUIET)
    report = archive.state / "report"
    before = {path: path.stat().st_mtime_ns for path in report.rglob("*.webp")}
    make_report(archive.library, QUIET)
    assert {path: path.stat().st_mtime_ns for path in report.rglob("*.webp")} == before
    changed = next(row for row in archive.rows().values() if row["status"] == Status.CLOAKED)
    photo = archive.photos / changed["source"]
    with Image.open(photo) as image:
        image.resize((200, 200)).save(photo, quality=90)
    archive.run()
    make_report(archive.library, QUIET)
    after = {path: path.stat().st_mtime_ns for path in report.rglob("*.webp")}
    assert before.keys() - after.keys() and after.keys() - before.keys()
    assert all(after[path] == before[path] for path in before.keys() & after.keys())


def test_a_report_is_private_and_part_of_the_state(archive: Archive) -> None:
    before = hashes(archive.out) | hashes(archive.photos)
    page = Path(make_report(archive.library, QUIET))
    assert page.parent == archive.state / "report"
    assert stat.S_IMODE(os.stat(page.parent).st_mode) == 0o700
    for path in page.parent.rglob("*"):
        assert path.is_dir() or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert state_folder.content(str(archive.state)).foreign == ()
    assert hashes(archive.out) | hashes(archive.photos) == before


@pytest.mark.parametrize("place", ["out/report", "photos/report", "photos", "other"])
def test_a_report_is_not_written_where_it_may_be_published(archive: Archive, place: str) -> None:
    folder = archive.out.parent / place
    (archive.out.parent / "other").mkdir()
    (archive.out.parent / "other" / "letter.txt").write_text("mine")
    before = hashes(archive.out.parent)
    with pytest.raises(LibraryError, match="choose"):
        make_report(archive.library, QUIET, to=str(folder))
    assert hashes(archive.out.parent) == before


def test_a_report_in_a_bucket_is_refused(archive: Archive) -> None:
    with pytest.raises(LibraryError, match=r"gs://bucket/report: .*a folder on a disk"):
        make_report(archive.library, QUIET, to="gs://bucket/report")


def test_a_report_goes_where_it_is_asked_to(archive: Archive, tmp_path: Path) -> None:
    for _ in range(2):
        code, said = invoked(
            "report", archive.out, "--state", archive.state, "--to", tmp_path / "mine"
        )
        assert code == 0, said
        assert "It is private" in said
    assert (tmp_path / "mine" / "index.html").is_file()
    assert not (archive.state / "report").exists()


def test_without_the_originals_there_is_a_report(archive: Archive) -> None:
    archive.photos.rename(archive.photos.with_name("away"))
    make_report(reopen_library(str(archive.out), str(archive.state)), QUIET)
    assert columns(archive)["file"]


def test_a_page_fetches_nothing_from_elsewhere(archive: Archive) -> None:
    page = Path(make_report(archive.library, QUIET)).read_text("utf-8")
    assert "http://" not in page and "https://" not in page and "//cdn" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)
def test_a_reason_has_its_own_advice(reason: Reason) -> None:
    fields = {"signal": "SIGSEGV", "system": "no space left", "step": "reading", "code": "LAB"}
    text = reason.of(7, 9, format="JPEG XL", source="a.jpg", **fields)
    assert matches(reason, text) and matches(reason, f"{text}; {Reason.DAMAGED}")
    told = [known for known in advice.ADVICE if matches(known, text)][:1]
    if reason.name.startswith(("TIFF", "OTHER_HEIF", "AVIF", "LOSSLESS", "SUBSAMPLED")):
        assert "Export it" in advice.advice(text)
    elif reason not in HAVE_AN_OUTPUT:
        assert told == [reason]


def test_what_evaluate_found_is_shown_and_kept(archive: Archive, tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    file.write_bytes(evaluation_report.as_file(made_evaluation(), ".json"))
    page = Path(make_report(archive.library, QUIET, evaluation=str(file))).read_text("utf-8")
    for text in (">dlib", "held out", "25 %", "100 %", "Radiya-Dixit"):
        assert text in page
    file.unlink()
    again = Path(make_report(archive.library, QUIET)).read_text("utf-8")
    assert "Radiya-Dixit" in again
    (tmp_path / "wrong.json").write_text("[]")
    with pytest.raises(LibraryError, match=r"wrong\.json is no report"):
        make_report(archive.library, QUIET, evaluation=str(tmp_path / "wrong.json"))


def test_held_out_recognisers_come_first(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    file.write_bytes(evaluation_report.as_file(made_evaluation(), ".json"))
    found = evaluation_file.read(str(file)).found
    assert [(one.recogniser, one.held_out) for one in found] == [("dlib", True), ("sface", False)]
    assert found[0].cloaked[0] == 0.25 and found[0].uncloaked[0] == 1.0
    assert found[0].searches == 4


def made_evaluation() -> Evaluation:
    clean, cloaked = (Tally(np.array(hits, float), np.array([2, 2])) for hits in ([2, 2], [1, 0]))
    findings = [
        Finding(name, white_box, FORWARD, AS_WRITTEN, RANK_1, ("a", "b"), cloaked, clean)
        for name, white_box in (("sface", True), ("dlib", False))
    ]
    return Evaluation(Study(()), Counter(), findings, [])


def test_figures_that_later_versions_add_to_a_face_are_shown() -> None:
    face = manifest.SCHEMA.field("faces").type.value_type
    more = pa.struct([*face, ("shown_at_300", pa.float32()), ("moves", pa.int32())])
    schema = pa.schema([("faces", pa.list_(more))])
    ours = ["flip", "dssim", "delta_e", "drawn_contrast", "shift_peak", "shift_rms", "stretch"]
    assert rows.measures_of(schema) == [*ours, "shown_at_300"]
    made = {
        "box": {"left": 1.0},
        "landmarks": [{"x": 1.0, "y": 2.0}],
        "flip": 0.05,
        "moves": 3,
        "cosine_shift": [{"surrogate": "sface", "shift": 0.5}],
    }
    assert dict(rows.figures_of(made)) == {"flip": 0.05, "moves": 3, "cosine_shift sface": 0.5}


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_preview_is_upright_and_shows_the_part_that_was_asked_for(orientation: int) -> None:
    pixels = np.zeros((400, 600, 3), np.uint8)
    pixels[40:80, 450:510] = (255, 0, 0)  # as it is upright
    turns = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]
    stored = Image.fromarray(np.rot90(pixels, turns))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    stored.save(out, "JPEG", quality=95, exif=exif)
    whole = Image.open(io.BytesIO(codec_process.preview(out.getvalue(), 150, ReadLimits())))
    assert whole.size == (150, 100)
    box = (450 / 600, 40 / 400, 510 / 600, 80 / 400)
    part = codec_process.preview(out.getvalue(), 30, ReadLimits(), box)
    colour = np.asarray(Image.open(io.BytesIO(part))).mean(axis=(0, 1))
    assert colour[0] > 200 and colour[2] < 60
