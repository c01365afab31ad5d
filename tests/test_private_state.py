"""Which folder is a library's private state, and what is deleted of it: nothing of anybody else's,
and all that tells of faces."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from photoveil.pipeline.cli import demo_folder
from photoveil.pipeline.cli.people import show_people
from photoveil.pipeline.cli.verify import verify_job
from photoveil.pipeline.library import manifest, state_folder
from photoveil.pipeline.library.identity import FILE, LibraryError, read_identity
from photoveil.pipeline.library.library import (
    Library,
    default_state,
    find_library,
    locked,
    open_library,
    reopen_library,
)
from photoveil.pipeline.library.state_folder import inspect
from photoveil.pipeline.state.people import FACES
from photoveil.transforms.io import parquet, storage
from tests import clouds
from tests.archives import Archive
from tests.commands import hashes, invoked

QUIET = Console(quiet=True)
MARKER = state_folder.MARKER


@pytest.fixture(autouse=True)
def xdg(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's state folder."""
    folder = tmp_path_factory.mktemp("xdg")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder / "photoveil/libraries"


def photos(base: Path, name: str = "in") -> Path:
    """An input folder with a file in it."""
    folder = base / name
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(name.encode())
    return folder


def do_photos(library: Library, sha256: str = "a") -> None:
    """What a run leaves in a library and in its private state: a row, and a face."""
    row = pa.table({"source": ["a.jpg"], "source_sha256": [sha256], "status": ["cloaked"]})
    empty = manifest.SCHEMA.empty_table()
    whole = pa.concat_tables([empty, row], promote_options="default")
    parquet.write(whole, storage.join(library.manifest, "1.parquet"), library.scratch)
    face = pa.table({"face": [f"{sha256} 0"], "sha256": [sha256]})
    faces = pa.concat_tables([FACES.empty_table(), face], promote_options="default")
    folder = storage.join(library.state, "people")
    parquet.write(
        faces, storage.join(folder, "faces/all.parquet"), storage.join(folder, "unfinished")
    )


def made(base: Path, name: str, state: Path | None = None) -> Library:
    """A library that has done photos."""
    source = photos(base, f"{name} in")
    library = open_library(str(source), str(base / name), None if state is None else str(state))
    do_photos(library, name)
    return library


def of_version_0_1(library: Library) -> Library:
    """The same library as version 0.1.0 left it: without an id and a marker."""
    Path(library.root, FILE).unlink()
    Path(library.state, MARKER).unlink()
    if Path(library.state).is_relative_to(state_folder.default_folder()):
        name = hashlib.sha256(library.root.encode()).hexdigest()[:16]
        Path(library.state).rename(Path(library.state).with_name(name))
    return library


def seen(folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and content of all below a folder, itself too."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        what = os.readlink(path) if path.is_symlink() else ""
        if path.is_file():
            what += path.read_bytes().hex()
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, what)
    return found


def a_diary(home: Path) -> Path:
    (home / "documents").mkdir()
    (home / "documents/diary.txt").write_text("diary")
    return home / "documents"


def around_the_photos(home: Path) -> Path:
    return home


def around_the_library(home: Path) -> Path:
    (home / "mine").mkdir()
    return home / "mine"


def below_the_photos(home: Path) -> Path:
    return home / "in/state"


def below_the_library(home: Path) -> Path:
    return home / "mine/out/state"


def below_another_library(home: Path) -> Path:
    return Path(made(home, "first").root, "state")


def a_link(home: Path) -> Path:
    (home / "documents").mkdir()
    (home / "link").symlink_to(home / "documents")
    return home / "link"


def a_file(home: Path) -> Path:
    (home / "file").write_text("x")
    return home / "file"


def empty_folders(home: Path) -> Path:
    (home / "documents/empty").mkdir(parents=True)
    return home / "documents"


def a_contact_sheet_of_its_own(home: Path) -> Path:
    """One file, of a name that the program gives too."""
    (home / "documents").mkdir()
    (home / "documents/contact-sheet.png").write_text("a photographer's")
    return home / "documents"


def people_of_its_own(home: Path) -> Path:
    (home / "documents/people").mkdir(parents=True)
    (home / "documents/people/mum.jpg").write_text("mum")
    return home / "documents"


def the_source_of_something(home: Path) -> Path:
    (home / "project/people").mkdir(parents=True)
    (home / "project/source").write_text("int main(void) {}\n")
    return home / "project"


def a_state_with_a_diary(home: Path) -> Path:
    """Of version 0.1.0, whose states have no marker: so the diary decides."""
    library = of_version_0_1(made(home, "first", home / "state"))
    (Path(library.state) / "diary.txt").write_text("diary")
    return home / "state"


def another_librarys(home: Path) -> Path:
    return Path(made(home, "first", home / "state").state)


def another_librarys_of_version_0_1(home: Path) -> Path:
    return Path(of_version_0_1(made(home, "first", home / "state")).state)


def people_are_elsewhere(home: Path) -> Path:
    """A state in which a link leads to somebody's folder."""
    library = made(home, "first", home / "state")
    shutil.rmtree(home / "state/people")
    (home / "documents").mkdir()
    (home / "state/people").symlink_to(home / "documents")
    shutil.rmtree(library.root)
    return home / "state"


@pytest.mark.parametrize("command", ["run", "plan", "scan"])
@pytest.mark.parametrize(
    "make",
    [
        a_diary,
        around_the_photos,
        around_the_library,
        below_the_photos,
        below_the_library,
        below_another_library,
        a_link,
        a_file,
        empty_folders,
        a_contact_sheet_of_its_own,
        people_of_its_own,
        the_source_of_something,
        a_state_with_a_diary,
        another_librarys,
        another_librarys_of_version_0_1,
        people_are_elsewhere,
    ],
)
def test_a_folder_that_is_not_the_librarys_state_is_refused_untouched(
    tmp_path: Path, make: Callable[[Path], Path], command: str
) -> None:
    photos(tmp_path)
    state = make(tmp_path)
    out = tmp_path / "mine/out"
    before = seen(tmp_path)
    code, said = invoked(command, tmp_path / "in", out, "--state", state)
    assert code == 2, said
    assert str(state) in said
    assert seen(tmp_path) == before
    code, said = invoked("forget", out, "--state", state, "--yes")
    assert code == 2, said
    assert seen(tmp_path) == before


def test_what_a_system_leaves_in_an_empty_folder_is_no_reason_to_refuse_it(tmp_path: Path) -> None:
    state = tmp_path / "disk"
    (state / "lost+found").mkdir(parents=True)
    (state / ".DS_Store").write_bytes(b"x")
    library = made(tmp_path, "out", state)
    assert library.state == str(state)
    assert invoked("forget", library.root, "--state", state, "--yes")[0] == 0
    assert sorted(path.name for path in state.rglob("*")) == [".DS_Store", "lost+found"]


def test_names_that_lead_to_one_folder_count_as_one(tmp_path: Path) -> None:
    """As on a file system that takes no notice of case: here a folder is mounted twice."""
    photos(tmp_path, "home/in")
    (tmp_path / "again").mkdir()
    look = (
        "import sys; from photoveil.transforms.io import storage\n"
        "print(storage.is_within(*sys.argv[1:3]), storage.is_within(*sys.argv[2:0:-1]))"
    )
    places = [tmp_path / "home/in/deep/er", tmp_path / "again"]
    mount = f'mount --bind "{tmp_path}/home" "{tmp_path}/again" && exec "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", sys.executable, "-c", look, *places],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.stdout.split() == ["True", "False"]
    assert not storage.is_within(*map(str, places))


def test_two_libraries_that_take_one_new_state_at_once(tmp_path: Path) -> None:
    sources = [photos(tmp_path, f"in {number}") for number in range(4)]
    for turn in range(10):
        state = tmp_path / f"state {turn}"

        def take(source: Path, turn: int = turn, state: Path = state) -> str | None:
            try:
                open_library(str(source), f"{tmp_path}/out {source.name} {turn}", str(state))
            except LibraryError:
                return None
            return str(source)

        with ThreadPoolExecutor(len(sources)) as pool:
            taken = [source for source in pool.map(take, sources) if source is not None]
        assert len(taken) == 1
        assert (state / "source").read_text() == taken[0]


def test_a_library_that_was_moved_finds_its_state(tmp_path: Path, xdg: Path) -> None:
    library = made(tmp_path, "out")
    assert Path(library.state).parent == xdg
    moved = tmp_path / "elsewhere/out"
    moved.parent.mkdir()
    Path(library.root).rename(moved)
    for make in (False, True):
        again = open_library(library.source, str(moved), make=make)
        assert again.state == library.state
    assert reopen_library(str(moved)).state == library.state
    assert default_state(str(moved)) == library.state
    assert [path.name for path in xdg.iterdir()] == [Path(library.state).name]
    assert invoked("forget", moved, "--yes")[0] == 0
    assert list(xdg.iterdir()) == []


def test_the_id_stays_and_tells_nothing(tmp_path: Path) -> None:
    library = made(tmp_path, "out")
    before = Path(library.root, FILE).read_bytes()
    assert open_library(library.source, library.root) == library
    assert Path(library.root, FILE).read_bytes() == before
    found = json.loads(before)
    assert set(found) == {"id", "forgotten", "format"}
    assert len(found["id"]) == 32
    assert found["id"] != json.loads(Path(made(tmp_path, "other").root, FILE).read_bytes())["id"]


def test_a_missing_state_is_said_and_nothing_is_begun(tmp_path: Path, xdg: Path) -> None:
    given = made(tmp_path, "out", tmp_path / "state")
    (tmp_path / "empty").mkdir(mode=0o755)
    before = seen(tmp_path)
    for command in ("run", "plan", "scan"):
        for more in ([], ["--state", tmp_path / "empty"], ["--state", tmp_path / "new"]):
            code, said = invoked(command, given.source, given.root, *more)
            assert code == 2
            for words in ("nobody is known", "--state DIR", "--new-state"):
                assert words in said
    assert seen(tmp_path) == before
    assert not xdg.exists()
    new = open_library(given.source, given.root, str(tmp_path / "new"), new_state=True)
    assert open_library(given.source, given.root, new.state) == new
    assert open_library(given.source, given.root, given.state) == given  # it was not lost after all
    with pytest.raises(LibraryError, match="delete it first: photoveil forget"):
        open_library(given.source, given.root, given.state, new_state=True)
    shutil.rmtree(given.state)
    code, said = invoked("verify", given.root)
    assert (code, "`photoveil states`" in said) == (2, True)


def test_the_place_of_a_state_is_told_where_it_is_known(tmp_path: Path) -> None:
    library = made(tmp_path, "out")
    with pytest.raises(LibraryError, match=f"It may be {library.state}"):
        open_library(library.source, library.root, str(tmp_path / "wrong"))
    assert not (tmp_path / "wrong").exists()


def test_a_library_that_has_done_nothing_needs_no_old_state(tmp_path: Path) -> None:
    source = photos(tmp_path)
    first = open_library(str(source), str(tmp_path / "out"), str(tmp_path / "state"))
    shutil.rmtree(first.state)
    assert open_library(first.source, first.root).state != first.state


def test_a_state_whose_library_is_not_there_is_kept_for_it(tmp_path: Path) -> None:
    """Its disk may not be connected: a run would begin a second library in the mount point."""
    for library in (made(tmp_path, "out"), made(tmp_path, "given", tmp_path / "state")):
        given = library.state if library.root.endswith("given") else None
        away = Path(library.root).rename(tmp_path / "away")
        before = seen(Path(library.state))
        with pytest.raises(LibraryError, match="connect that disk"):
            open_library(library.source, library.root, given)
        assert not Path(library.root).exists()
        place = str(tmp_path / "other") if given else None
        new = open_library(library.source, library.root, place, new_state=True)
        assert seen(Path(library.state)) == before
        assert read_identity(new.root) != read_identity(str(away))
        shutil.rmtree(new.root)
        away.rename(library.root)
        assert open_library(library.source, library.root, given) == library


def test_a_copy_of_a_library_does_not_share_the_state_of_the_original(tmp_path: Path) -> None:
    library = made(tmp_path, "out")
    copy, state = tmp_path / "copy", tmp_path / "copy of the state"
    shutil.copytree(library.root, copy)
    for command in ("run", "plan", "scan"):
        code, said = invoked(command, library.source, copy)
        assert code == 2
        assert f"is a copy of the library {library.root}" in said
    assert invoked("forget", copy, "--yes")[0] == 2
    assert find_library(str(copy)).source == library.source  # reading does no harm
    shutil.copytree(library.state, state)
    assert open_library(library.source, str(copy), str(state)).state == str(state)
    assert open_library(library.source, library.root) == library
    own = open_library(library.source, str(copy), new_state=True)
    assert own.state != library.state
    assert open_library(library.source, str(copy)) == own
    assert open_library(library.source, library.root) == library


def test_a_lost_id_comes_back_from_the_state(tmp_path: Path) -> None:
    """So it does where a crash came between the two."""
    for given in (None, str(tmp_path / "state")):
        library = made(tmp_path, f"out {given is None}", Path(given) if given else None)
        before = read_identity(library.root)
        Path(library.root, FILE).unlink()
        again = open_library(library.source, library.root, given)
        assert again == library
        assert read_identity(library.root) == before


def test_damaged_notes_are_named_with_what_to_do(tmp_path: Path) -> None:
    library = made(tmp_path, "out")
    for file in (Path(library.state, MARKER), Path(library.root, FILE)):
        whole = file.read_bytes()
        for data in (b"{", b"[]", b"\xff", b'{"id": 1}'):
            file.write_bytes(data)
            code, said = invoked("plan", library.source, library.root)
            assert code == 2
            assert f"{file} is damaged" in said
            file.write_bytes(whole)
        file.write_bytes(whole.replace(b'"format": 1', b'"format": 2'))
        code, said = invoked("plan", library.source, library.root)
        assert (code, "later version" in said) == (2, True)
        file.write_bytes(whole)
    other = made(tmp_path, "other")
    Path(other.state, MARKER).write_bytes(b"{")  # that is no other library's trouble
    assert open_library(library.source, library.root) == library
    assert "is damaged" in invoked("states")[1]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("moved_photos", [False, True])
def test_a_library_of_version_0_1_opens_and_gets_its_id(
    tmp_path: Path, given: bool, moved_photos: bool
) -> None:
    state = tmp_path / "state" if given else None
    library = of_version_0_1(made(tmp_path, "out", state))
    option = str(state) if state else None
    source = Path(library.source)
    if moved_photos:
        source = source.rename(tmp_path / "moved")
    place = find_library(library.root, option).state
    before = seen(tmp_path), seen(Path(place))
    assert open_library(str(source), library.root, option, make=False).state == place
    assert (seen(tmp_path), seen(Path(place))) == before
    opened = open_library(str(source), library.root, option)
    assert opened.state == place
    identity = read_identity(library.root)
    assert identity is not None
    marker = inspect(place).marker
    assert marker is not None and marker.library == identity.id
    moved = Path(library.root).rename(tmp_path / "elsewhere")
    assert open_library(str(source), str(moved), option).state == place


def test_one_state_of_version_0_1_of_two_libraries_stays_with_one(tmp_path: Path) -> None:
    first = of_version_0_1(made(tmp_path, "first", tmp_path / "state"))
    shutil.copytree(first.root, tmp_path / "twin")  # of the same photos, as in another mode
    assert open_library(first.source, first.root, first.state) == first
    with pytest.raises(LibraryError, match="belongs to another library"):
        open_library(first.source, str(tmp_path / "twin"), first.state)


def test_forget_shows_asks_and_deletes_only_what_photoveil_makes(
    archive: Archive,
) -> None:
    show_people(archive.library, QUIET)
    (archive.state / "waves/1/cloaks").mkdir(parents=True)
    (archive.state / "waves/1/cloaks/one").write_bytes(b"a cloak")
    (archive.state / "trash/1/photos/2013").mkdir(parents=True)
    (archive.state / "trash/1/photos/2013/a.jpg").write_bytes(b"cloaked")
    (archive.state / "people/mum.jpg").write_bytes(b"mum")
    (archive.state / "people/faces/notes.txt").write_bytes(b"notes")
    (archive.state / "link").symlink_to(archive.photos)
    foreign = {"people/mum.jpg", "people/faces/notes.txt", "link"}
    out, photos_before = hashes(archive.out), hashes(archive.photos)
    before = seen(archive.state)
    forget = ["forget", archive.out, "--state", archive.state]
    code, said = invoked(*forget)  # nobody answers
    assert code == 2
    for words in ("who is who", "contact sheets", "interrupted", "not Photoveil's", "--yes"):
        assert words in said
    assert f"{archive.state}: private state of {archive.out}" in said
    assert seen(archive.state) == before
    code, said = answered("n\n", *forget)
    assert (code, "Nothing was deleted" in said) == (1, True)
    assert seen(archive.state) == before
    code, said = answered("y\n", *forget)
    assert code == 0, said
    below = [path for path in archive.state.rglob("*") if path.is_symlink() or not path.is_dir()]
    left = {str(path.relative_to(archive.state)) for path in below}
    assert left == foreign
    assert "The folder stays" in said
    assert hashes(archive.photos) == photos_before
    kept = {n: h for n, h in hashes(archive.out).items() if n not in (FILE, "_photoveil/lock")}
    assert kept.items() <= out.items()


def answered(answer: str, *arguments: object) -> tuple[int, str]:
    from typer.testing import CliRunner

    from photoveil.pipeline.cli import main

    done = CliRunner().invoke(main.app, [str(one) for one in arguments], input=answer)
    return done.exit_code, done.output


def test_after_forget_a_run_goes_on_and_says_nothing_of_a_lost_state(archive: Archive) -> None:
    assert invoked("forget", archive.out, "--state", archive.state, "--yes")[0] == 0
    assert not archive.state.exists()
    code, said = invoked("forget", archive.out, "--state", archive.state, "--yes")
    assert code == 2
    assert "was deleted by `photoveil forget`" in said
    assert archive.plan().refs == []  # makes a new state in the same place
    assert archive.state.exists()
    shutil.rmtree(archive.state)
    with pytest.raises(LibraryError, match="nobody is known"):  # that one was not forgotten
        open_library(str(archive.photos), str(archive.out), str(archive.state))


def test_status_tells_a_forgotten_state_from_a_lost_one(archive: Archive) -> None:
    places = (archive.out, "--state", archive.state)
    assert invoked("forget", *places, "--yes")[0] == 0
    for more in (("--state", archive.state), ()):
        _, said = invoked("status", archive.out, *more)
        assert "the private state was deleted on purpose" in said
        assert "Private state: deleted by `photoveil forget`, 20" in said
        assert "lost" not in said
        assert "elsewhere" not in said
    assert archive.plan().refs == []  # begins another one, which then is lost
    shutil.rmtree(archive.state)
    _, said = invoked("status", *places)
    assert "Originals:     not known: the private state is lost" in said
    assert "forget" not in said


def test_forget_waits_for_no_run_and_stops_none(archive: Archive) -> None:
    before = seen(archive.state)
    with locked(archive.library):
        code, said = invoked("forget", archive.out, "--state", archive.state, "--yes")
    assert (code, "another run is writing" in said) == (2, True)
    assert seen(archive.state) == before


def test_what_a_crash_leaves_of_a_forgotten_state_can_be_forgotten(tmp_path: Path) -> None:
    library = made(tmp_path, "out")
    shutil.rmtree(Path(library.state, "people/faces"))
    assert set(hashes(Path(library.state))) == {MARKER, "source"}
    assert invoked("forget", library.root, "--yes")[0] == 0
    assert not Path(library.state).exists()


def test_states_are_listed_and_orphans_deleted(tmp_path: Path, xdg: Path) -> None:
    there, gone, old = (made(tmp_path, name) for name in ("there", "gone", "old"))
    of_version_0_1(old)
    shutil.rmtree(gone.root)
    code, said = invoked("states")
    assert code == 0
    for words in (
        f"library:   {there.root}\n",
        f"library:   {gone.root} (orphan: not there now)",
        f"originals: {there.source}\n",
        "library:   a library of version 0.1.0",
        f"originals: {old.source}\n",
        f"3 private states in {xdg}",
        "last used 20",
    ):
        assert words in said
    assert invoked("states", "--delete", Path(gone.state).name)[0] == 2  # nobody answers
    assert Path(gone.state).exists()
    assert invoked("states", "--delete", Path(gone.state).name[:8], "--yes")[0] == 0
    assert not Path(gone.state).exists()
    assert Path(there.state).exists()
    for wrong in ("0" * 32, tmp_path, there.source):
        code, said = invoked("states", "--delete", wrong, "--yes")
        assert (code, "is no private state" in said) == (2, True)
    elsewhere = made(tmp_path, "elsewhere", tmp_path / "state")
    assert invoked("states", "--delete", elsewhere.state, "--yes")[0] == 0
    assert not (tmp_path / "state").exists()
    assert invoked("forget")[0] == invoked("forget", there.root, "--all")[0] == 2
    assert invoked("forget", "--all")[0] == 2
    assert len(list(xdg.iterdir())) == 2
    assert invoked("forget", "--all", "--yes")[0] == 0
    assert list(xdg.iterdir()) == []
    for library in (there, elsewhere):  # their libraries know
        assert open_library(library.source, library.root).state
    assert invoked("forget", "--all", "--yes")[0] == 0
    assert "no private state" in invoked("states")[1] or "0 private states" in invoked("states")[1]


@pytest.fixture(params=["gs", "s3"])
def bucket(request: pytest.FixtureRequest, servers: None) -> Iterator[str]:
    if request.param == "gs" and not clouds.CLOUDS:
        pytest.skip("gcp-storage-emulator takes no notice of conditions: make test-cloud")
    yield clouds.new_bucket(request.param)


def test_a_library_and_its_state_in_buckets(bucket: str, tmp_path: Path) -> None:
    source = str(photos(tmp_path))
    out, state = f"{bucket}/out", f"{bucket}/state"
    library = open_library(source, out, state)
    do_photos(library)
    storage.write_atomic(f"{bucket}/state/diary.txt", b"diary", "")
    assert open_library(source, out, state) == library
    for wrong in (bucket, f"{bucket}/out/state"):
        with pytest.raises(LibraryError, match="lies inside"):
            open_library(source, out, wrong)
    storage.write_atomic(f"{bucket}/diary/diary.txt", b"diary", "")
    with pytest.raises(LibraryError, match="is not empty"):
        open_library(source, out, f"{bucket}/diary")
    with pytest.raises(LibraryError, match="belongs to another library"):
        open_library(source, str(tmp_path / "out"), state)
    with pytest.raises(LibraryError, match="nobody is known"):
        open_library(source, out)
    for entry in list(storage.walk(out)):  # it moves
        data = storage.read_bytes(f"{out}/{entry.relative}")
        storage.write_atomic(f"{bucket}/moved/{entry.relative}", data, "")
        storage.remove([f"{out}/{entry.relative}"])
    assert open_library(source, f"{bucket}/moved", state).state == state
    code, said = invoked("forget", f"{bucket}/moved", "--state", state, "--yes")
    assert code == 0, said
    assert [entry.relative for entry in storage.walk(state)] == ["diary.txt"]
    assert "The folder stays" in said


def test_a_file_asked_for_goes_over_nothing_but_its_like(archive: Archive, tmp_path: Path) -> None:
    mum = tmp_path / "mum.jpg"
    mum.write_bytes(b"mum")
    other = made(tmp_path, "other").root
    wrong = [
        mum,
        Path(other, "sheet.jpg"),
        archive.photos / "new.jpg",
        next(archive.photos.rglob("*.jpg")),
        archive.photos,
    ]
    before = seen(tmp_path)
    library = Library(str(archive.photos), str(archive.out), str(archive.state))
    for file in wrong:
        with pytest.raises(LibraryError, match=r"choose another|is a folder"):
            show_people(library, QUIET, str(file))
        with pytest.raises(LibraryError, match=r"choose another|is a folder"):
            verify_job(library, QUIET, table=str(file))
    assert {**seen(tmp_path), ".": None} == {**before, ".": None}
    for name in ("sheet.jpg", "list.csv"):
        for _ in range(2):
            if name == "sheet.jpg":
                assert show_people(library, QUIET, str(tmp_path / name))
            else:
                verify_job(library, QUIET, table=str(tmp_path / name))
            assert (tmp_path / name).stat().st_size
    assert not list(tmp_path.glob("*.unfinished"))


def test_the_demo_deletes_nothing_that_no_demo_made(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo_folder.empty(folder)
    for name in (
        "photos/2013/joe.jpg",
        "cloaked/2013/joe.jpg",
        "cloaked/_photoveil/manifest/1.parquet",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / ".DS_Store").write_bytes(b"x")
    demo_folder.empty(folder)
    assert {path.name for path in folder.iterdir()} == {".photoveil-demo", ".DS_Store"}
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/diary.txt").write_text("diary")
    strange = ("photos/2013/mum.jpg", "cloaked/notes.txt", "state/notes.txt", "mum.jpg")
    for name in (*strange, "cloaked/_photoveil/notes.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        before = seen(tmp_path)
        with pytest.raises(LibraryError, match="what no demo made"):
            demo_folder.empty(folder)
        assert seen(tmp_path) == before
        path.unlink()
    shutil.rmtree(folder / "photos")
    (folder / "photos").symlink_to(tmp_path / "documents")
    with pytest.raises(LibraryError, match="what no demo made"):
        demo_folder.empty(folder)
    assert (tmp_path / "documents/diary.txt").exists()
