"""The report in a real browser: what a person sees, moves and types there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.report import link_thumbnails
from photoveil.pipeline.cli.plan import marks_of
from photoveil.pipeline.cli.report import make_report
from photoveil.pipeline.library.library import reopen_library
from photoveil.pipeline.state import review
from photoveil.pipeline.state.review import Level, PersonMarks
from photoveil.transforms.records import Status
from tests.archives import Archive, Base
from tests.browsers import Watched, browser
from tests.support.made_library import make_library

QUIET = Console(quiet=True)
VIEWS = ("overview", "photos", "people", "troubles", "review")
SOME = "document.querySelector('#shown').textContent.includes(' of ')"
# A file may be called this.
MARKUP = "<img src=x onerror=document.title='hit'>\u2028&quot;' #1?.jpg"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a library after its first run, one of whose photos has a name of markup."""
    folder = tmp_path_factory.mktemp("report")
    for name in ("photos", "out", "state"):
        shutil.copytree(base.photos.parent / name, folder / name)
    archive = Archive(folder)
    photo = archive.photos / base.of("photo")[0]
    photo.rename(photo.with_name(MARKUP))
    archive.run()
    return Path(make_report(archive.library, QUIET))


@pytest.fixture
def seen(chrome: Any, report: Path) -> Iterator[Watched]:
    """The page in a new window; nothing may go wrong in it, and nothing leave the machine."""
    found = Watched(chrome, report)
    yield found
    assert found.problems == []
    assert {url.split(":")[0] for url in found.requests} <= {"file", "blob"}
    found.context.close()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_no_fault_in_any_view(chrome: Any, report: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    seen = Watched(chrome, report, color_scheme=scheme, reduced_motion="reduce")
    # The program of axe is what the page's policy of content would keep out.
    faults = []
    for name in (*VIEWS, "photo"):
        if name == "photo":
            seen.view("photos")
            seen.open_photo()
        else:
            seen.view(name)
        found = axe.run(seen.page).response["violations"]
        faults += [(name, one["id"], one["nodes"][0]["html"]) for one in found]
    assert faults == []
    seen.context.close()


def test_the_slider_moves_by_mouse_and_by_key(seen: Watched) -> None:
    seen.view("photos")
    seen.open_photo()
    cut = "getComputedStyle(document.querySelector('#stage')).getPropertyValue('--cut')"
    assert seen.page.evaluate(cut) == "50%"
    for _ in range(5):
        seen.page.keyboard.press("ArrowRight")
    assert seen.page.evaluate(cut) == "55%"
    place = seen.page.locator("#cut").bounding_box()
    seen.page.mouse.click(place["x"] + 0.2 * place["width"], place["y"] + place["height"] / 2)
    assert float(seen.page.evaluate(cut).rstrip("%")) == pytest.approx(20, abs=3)


def test_left_of_the_slider_is_the_original_and_right_of_it_the_cloaked_photo(
    seen: Watched, report: Path
) -> None:
    seen.view("photos")
    seen.open_photo()
    folder = report.parents[2]
    for selector, part in ((".original", "photos"), (".cloaked", "out")):
        url = seen.page.locator(f"#stage {selector}").get_attribute("src")
        assert url.startswith((folder / part).as_uri() + "/")
    clip = seen.page.evaluate("getComputedStyle(document.querySelector('.over')).clipPath")
    assert clip == "inset(0px 50% 0px 0px)"


def test_a_face_fills_the_stage_and_the_difference_is_shown(seen: Watched) -> None:
    seen.view("photos")
    seen.open_photo()
    seen.page.click("[data-zoom='0']")
    seen.page.wait_for_timeout(400)  # the picture glides
    stage = seen.page.locator("#stage").bounding_box()
    scale = "new DOMMatrix(getComputedStyle(document.querySelector('.cloaked')).transform)"
    box = seen.page.evaluate("details.get(0)[open].faces[0].box")
    width = seen.page.evaluate("details.get(0)[open].size[0]")
    moved = seen.page.evaluate(f"(() => {{ const m = {scale}; return [m.a, m.e, m.f]; }})()")
    pixel = moved[0] * stage["width"] / width
    left, top = moved[1] + pixel * box[0], moved[2] + pixel * box[1]
    right, bottom = moved[1] + pixel * box[2], moved[2] + pixel * box[3]
    assert min(left, top) >= -1 and max(right, bottom) <= stage["width"] + 1
    assert max(right - left, bottom - top) > 0.6 * stage["width"]
    seen.page.click("#difference")
    assert "brightness(10)" in seen.page.evaluate(
        "getComputedStyle(document.querySelector('.pictures')).filter"
    )


def test_filters_and_orders_choose_photos(seen: Watched, report: Path) -> None:
    index = json.loads((report.parent / "data/index.js").read_text()[len("photoveilIndex(") : -3])
    columns, names = index["columns"], index["names"]
    seen.view("photos")
    files = len(columns["file"])
    assert seen.page.inner_text("#shown") == f"{files} files"
    failed = names["status"].index(Status.FAILED)
    seen.page.select_option("[name=status]", str(failed))
    seen.until(SOME)
    wanted = [n for n, s in zip(columns["file"], columns["status"], strict=True) if s == failed]
    assert sorted(seen.shown()) == sorted(wanted)
    seen.page.click("#all")
    assert seen.page.inner_text("#shown") == f"{files} files"
    in_it = [n for n, who in zip(columns["file"], columns["people"], strict=True) if 0 in who]
    seen.page.select_option("[name=person]", "0")
    seen.until(SOME)
    assert sorted(seen.shown()) == sorted(in_it)
    seen.page.click("#all")
    seen.page.fill("[name=text]", "sorted copy")
    seen.until(SOME)
    assert seen.shown() and all("copy" in name for name in seen.shown())
    seen.page.click("#all")
    flips = seen.page.evaluate("chosen.map(row => columns.measures.flip[row])")
    assert flips == sorted(flips, reverse=True)


def test_a_photo_is_opened_left_and_closed_by_keys(seen: Watched) -> None:
    seen.view("photos")
    seen.page.locator("#gallery button").first.focus()
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_selector("dialog[open]")
    first = seen.page.inner_text("#photo-title")
    seen.page.keyboard.press("n")
    seen.until(f"document.querySelector('#photo-title').textContent !== {json.dumps(first)}")
    seen.page.keyboard.press("p")
    seen.until(f"document.querySelector('#photo-title').textContent === {json.dumps(first)}")
    seen.page.keyboard.press("Escape")
    seen.page.wait_for_selector("dialog", state="hidden")
    assert seen.page.evaluate("document.activeElement.dataset.row") is not None


def test_names_of_files_are_text_wherever_they_are_shown(seen: Watched) -> None:
    seen.view("photos")
    seen.page.fill("[name=text]", "onerror")
    seen.until("document.querySelectorAll('#gallery li').length === 1")
    seen.open_photo()
    assert MARKUP.split("\u2028")[0] in seen.page.inner_text("#photo-title")
    seen.page.keyboard.press("Escape")
    for name in VIEWS:
        seen.view(name)
    assert seen.page.title() == "Photoveil report"


def test_files_without_an_output_are_listed_with_what_to_do(seen: Watched) -> None:
    seen.view("troubles")
    first = seen.page.locator(".trouble.failed").first
    first.locator("summary").click()
    first.locator(".names li").first.wait_for()
    count = int(first.locator(".count").inner_text())
    assert first.locator(".names li").count() == count
    assert "another" in first.locator("p").inner_text()


def test_what_is_marked_is_exported_as_a_run_takes_it(
    seen: Watched, report: Path, tmp_path: Path
) -> None:
    seen.view("photos")
    seen.open_photo()
    seen.page.get_by_label("What to do with this photo").select_option("weaker")
    seen.page.get_by_label("What to do with face 1").select_option("no face")
    sha, box = seen.page.evaluate("[details.get(0)[open].sha, details.get(0)[open].faces[0].box]")
    seen.page.keyboard.press("Escape")
    assert seen.page.locator("#gallery .mark").count() >= 1
    seen.view("people")
    person = seen.page.evaluate("data.persons[0].id")
    seen.page.get_by_label(f"Name of {person}").fill("Anna <b>Maria</b>")
    seen.page.get_by_label(f"What to do with {person}").select_option("leave")
    seen.page.reload()  # kept in the browser
    seen.view("review")
    assert "Anna <b>Maria</b>" in seen.page.inner_text("#marks")
    with seen.page.expect_download() as download:
        seen.page.click("#export")
    file = tmp_path / "review.json"
    download.value.save_as(file)
    library = reopen_library(str(report.parents[2] / "out"), str(report.parents[1]))
    found = marks_of(library, str(file))
    wish = found.wish(sha, [])
    assert wish.level is Level.WEAKER
    assert box[0] <= wish.faces[0].x <= box[2] and box[1] <= wish.faces[0].y <= box[3]
    assert found.people == {person: PersonMarks(name="Anna <b>Maria</b>", mark="leave")}
    seen.view("photos")
    seen.page.select_option("[name=marked]", "yes")
    seen.until("document.querySelectorAll('#gallery li').length === 1")
    assert seen.page.inner_text("#marked") == "2"
    # Once a run has taken the file, the next report says so, and the browser forgets its edits.
    state = report.parents[1]
    review.write(str(state), found)
    try:
        make_report(library, QUIET)
        seen.page.reload()
        seen.view("review")
        assert seen.page.locator("#marks td:last-child").all_inner_texts() == ["in force"] * 2
        assert not seen.page.is_visible("#marked")
    finally:
        (state / review.FILE).unlink()
        make_report(library, QUIET)


def test_a_phone_shows_every_view_without_scrolling_sideways(chrome: Any, report: Path) -> None:
    size = {"width": 360, "height": 740}
    seen = Watched(chrome, report, viewport=size, has_touch=True, is_mobile=True)
    wide = "document.documentElement.scrollWidth"
    for name in VIEWS:
        seen.view(name)
        assert seen.page.evaluate(wide) <= size["width"], name
    seen.view("photos")
    seen.page.locator("#gallery button").first.tap()
    seen.page.wait_for_selector("dialog[open]")
    assert seen.page.evaluate("document.querySelector('dialog').scrollWidth") <= size["width"]
    assert seen.problems == []
    seen.context.close()


@pytest.mark.slow
def test_fifty_thousand_photos_stay_smooth(
    chrome: Any, tmp_path: Path, demo_photo: Callable[[str], Path]
) -> None:
    photos = [tmp_path / f"{number}.jpg" for number in range(4)]
    for photo in photos:  # a file has 65,000 links at most
        shutil.copyfile(demo_photo("obama.jpg"), photo)
    library = make_library(tmp_path / "big", 50_000, photos)
    # How fast they are drawn is not what is tested here.
    link_thumbnails(library, photos[0], draw=0)
    page = Path(make_report(library, QUIET))
    seen = Watched(chrome, page)
    assert seen.page.evaluate("performance.now()") < 10_000
    seen.view("photos")
    spent = (
        "(() => { const start = performance.now(); choose(); return performance.now() - start })()"
    )
    assert seen.page.evaluate(spent) < 1000
    assert seen.page.locator("#gallery li").count() == 60
    seen.context.close()
