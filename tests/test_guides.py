"""The guides to other programs' folders: their commands, run on such folders, do what they say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from photoveil.transforms.io import assets
from tests.commands import hashes, invoked
from tests.support import told
from tests.support.exports import EXPORTS, Export
from tests.support.outputs import photos_of, rows_of
from tests.test_docs import ROOT

GUIDES = ROOT / "docs/guides"
# By export: its guide, IN and OUT there, and the folder that the export is made in.
PLACES = {
    "takeout": ("takeout", "takeout", "takeout-cloaked", "takeout"),
    "apple-photos": ("apple-photos", "export", "export-cloaked", "export"),
    "immich": ("immich-photoprism", "immich/library", "immich-cloaked", "immich"),
    "photoprism": (
        "immich-photoprism",
        "photoprism/originals",
        "photoprism-cloaked",
        "photoprism",
    ),
    "digikam": ("digikam", "collection", "collection-cloaked", "collection"),
}


@dataclass(frozen=True)
class Tried:
    """A folder of another program after the commands of its guide.

    said: by command.
    """

    name: str
    export: Export
    source: Path
    out: Path
    before: dict[str, str]
    said: dict[str, str]
    config: Path

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return rows_of(self.out)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(place, marks=() if place == "takeout" else pytest.mark.slow)
        for place in PLACES
    ],
)
def tried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "apple-photos":
        pytest.importorskip("pillow_heif")
    page, source, out, folder = PLACES[request.param]
    home = tmp_path_factory.mktemp(request.param)
    config = home / "quick.yaml"
    config.write_text(told.QUICK)
    export = EXPORTS[request.param](home / folder)
    before = hashes(home / folder)
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(assets.CACHE_ENV, str(assets.cache_folder()))  # models, of the real user
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        mine = [line for line in told.lines(GUIDES / f"{page}.md") if f"~/{out}" in line]
        assert mine
        for line in mine:
            code, said[line] = told.run(line, config)
            assert code == 0, (line, said[line])
        assert hashes(home / folder) == before
        yield Tried(request.param, export, home / source, home / out, before, said, config)


def test_every_command_of_a_guide_is_run() -> None:
    outs = {(page, f"~/{out}") for page, _, out, _ in PLACES.values()}
    for guide in GUIDES.glob("*.md"):
        for line in told.lines(guide):
            assert any(page == guide.stem and out in line for page, out in outs), line


def test_each_photo_with_a_face_is_cloaked_or_the_twin_of_one(tried: Tried) -> None:
    for name in tried.export.faces:
        row = tried.rows[name]
        assert row["status"] in ("cloaked", "duplicate"), (name, row["reason"])
        assert row["faces"] and row["output"] == name
        assert (tried.out / name).read_bytes() != (tried.source / name).read_bytes()
    for name in tried.export.plain:
        assert tried.rows[name]["status"] == "no_face"
        assert (tried.out / name).read_bytes() == (tried.source / name).read_bytes()


def test_sidecars_are_copied_and_only_names_leave_them(tried: Tried) -> None:
    strips = any("--strip-names" in line for line in tried.said)
    for name in tried.export.sidecars:
        assert tried.rows[name]["status"] in ("companion", "duplicate"), name
        before, after = ((root / name).read_bytes() for root in (tried.source, tried.out))
        named = b"Ada Byron" in before
        assert (b"Ada Byron" in after) == (named and not strips), name
        if not (named and strips):
            assert after == before


def test_what_is_not_for_publishing_is_left_out(tried: Tried) -> None:
    wanted = {*tried.export.faces, *tried.export.plain, *tried.export.sidecars}
    assert set(photos_of(tried.out)) == wanted
    for name in tried.export.left:
        assert tried.rows[name]["status"] == "unsupported"


def test_no_uncloaked_face_is_left(tried: Tried) -> None:
    code, said = invoked("verify", tried.out, "--leaks")
    assert code == 0, said


def test_a_second_run_has_nothing_to_do(tried: Tried) -> None:
    lines = [line for line in tried.said if line.startswith("photoveil run")]
    before = hashes(tried.out)
    for line in lines:
        code, said = told.run(line, tried.config)
        assert (code, "Nothing new." in said) == (0, True), said
    assert hashes(tried.out).keys() == before.keys()
    assert photos_of(tried.out).items() <= before.items()


def test_a_copy_in_an_album_is_the_same_file(tried: Tried) -> None:
    if tried.name != "takeout":
        pytest.skip("albums are Takeout's")
    found = [path.read_bytes() for path in tried.out.glob("Takeout/*/*/IMG_0001.jpg")]
    assert len(found) == 2 and len(set(found)) == 1
