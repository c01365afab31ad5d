"""The `photoveil` command as a user runs it: a process of its own, on real photos."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import piexif
import pytest
from PIL import Image

from photoveil.pipeline.cli.demo_folder import build_archive
from photoveil.pipeline.library import manifest
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.records import Visibility
from tests.commands import hashes, invoked, photoveil


class Run:
    """One run over the demo archive, shared by the tests that look at its results."""

    def __init__(self, base: Path) -> None:
        self.photos, self.out, self.state = base / "photos", base / "out", base / "state"
        self.config = base / "quick.yaml"
        self.config.write_text(
            "cloak: {steps: 8, batch_size: 2, surrogates: [mobilefacenet]}\nrun: {first_wave: 64}\n"
            "detector: {long_sides: [256], turned_levels: 0}\n"
        )
        build_archive(self.photos)
        os.utime(self.photos / "2013/rome.jpg", (1_367_409_600, 1_367_409_600))
        self.before = hashes(self.photos)
        self.done = photoveil("run", *self.command)
        self.rows = {
            row["source"]: row
            for row in manifest.read(str(self.out / "_photoveil/manifest")).to_pylist()
        }

    @property
    def command(self) -> tuple[object, ...]:
        return (self.photos, self.out, "--state", self.state, "--config", self.config)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("archive"))


def test_every_file_has_a_row_with_its_status(run: Run) -> None:
    assert {source: row["status"] for source, row in run.rows.items()} == {
        "2009/inauguration.jpg": "cloaked",
        "2012/portrait.jpg": "cloaked",
        "2012/speech.jpg": "cloaked",
        "2013/astronaut.png": "cloaked",
        "2013/cat.png": "no_face",
        "2013/coffee.png": "no_face",
        "2013/damaged.jpg": "failed",
        "2013/joe.jpg": "cloaked",
        "2013/notes.txt": "unsupported",
        "2013/rome.jpg": "cloaked",
        "2014/best of/portrait.jpg": "duplicate",
    }


def test_a_failed_photo_gives_exit_status_3_and_is_named_with_its_reason(run: Run) -> None:
    assert run.done.returncode == 3, run.done.stderr
    assert "2013/damaged.jpg: damaged or cut off" in run.done.stdout


def test_the_screen_shows_nothing_but_our_own_words(run: Run) -> None:
    assert run.done.stderr == ""
    assert "WARNING" not in run.done.stdout


def test_the_originals_are_untouched(run: Run) -> None:
    assert hashes(run.photos) == run.before


def test_outputs_are_what_the_manifest_says_and_nothing_else(run: Run) -> None:
    written = {n: h for n, h in hashes(run.out).items() if not n.startswith("_photoveil/")}
    assert written == {
        row["output"]: row["output_sha256"] for row in run.rows.values() if row["output"]
    }


def test_photos_without_a_face_are_copied_byte_for_byte(run: Run) -> None:
    for name in ("2013/cat.png", "2013/coffee.png"):
        assert (run.out / name).read_bytes() == (run.photos / name).read_bytes()


def test_faces_change_within_limits_and_the_rest_of_the_picture_stays(run: Run) -> None:
    for name in ("2012/portrait.jpg", "2013/astronaut.png"):
        before, after = (
            np.asarray(Image.open(root / name).convert("RGB"), np.int16)
            for root in (run.photos, run.out)
        )
        change = np.abs(after - before).max(axis=2)
        (face,) = run.rows[name]["faces"]
        rows = slice(int(face["box"]["top"]), int(face["box"]["bottom"]))
        columns = slice(int(face["box"]["left"]), int(face["box"]["right"]))
        assert change[rows, columns].mean() > 0.5
        assert (change > 0).mean() < 0.5  # far from the face nothing changes


def test_the_manifest_measures_each_face_on_the_written_file(run: Run) -> None:
    for row in run.rows.values():
        for face in row["faces"]:
            figures = Visibility(
                face["flip"], face["delta_e"], face["dssim"], face["drawn_contrast"]
            )
            assert CloakParameters().budget.spent(figures) > 0.2
            assert not any("visibility budget" in note for note in row["notes"])
            assert face["steps"] == 8
            (pair,) = face["cosine_shift"]
            assert pair["surrogate"] == "mobilefacenet"
            assert pair["shift"] > 0.1
            assert 0.6 <= face["detector_score"] <= 1


def test_a_duplicate_is_the_same_file_as_its_twin(run: Run) -> None:
    row = run.rows["2014/best of/portrait.jpg"]
    assert row["duplicate_of"] == "2012/portrait.jpg"
    assert row["output_sha256"] == run.rows["2012/portrait.jpg"]["output_sha256"]


def test_exif_is_kept_and_its_thumbnail_is_of_the_cloaked_photo(run: Run) -> None:
    before, after = (piexif.load(str(root / "2013/rome.jpg")) for root in (run.photos, run.out))
    assert after["GPS"] == before["GPS"]
    assert after["Exif"] == before["Exif"]
    assert after["0th"][piexif.ImageIFD.Make] == b"Demo"
    small = Image.open(io.BytesIO(after["thumbnail"]))
    assert small.size == Image.open(io.BytesIO(before["thumbnail"])).size
    assert after["thumbnail"] != before["thumbnail"]


def test_quantisation_subsampling_and_time_are_kept(run: Run) -> None:
    for name in ("2012/portrait.jpg", "2013/joe.jpg", "2013/rome.jpg"):
        before, after = Image.open(run.photos / name), Image.open(run.out / name)
        assert after.quantization == before.quantization  # type: ignore[attr-defined]
        assert after.layer == before.layer  # type: ignore[attr-defined]
        assert (run.out / name).stat().st_mtime == (run.photos / name).stat().st_mtime


def test_duckdb_and_pandas_read_the_manifest(run: Run) -> None:
    folder = run.out / "_photoveil/manifest"
    found = duckdb.sql(f"select count(*) from '{folder}/*.parquet' where status = 'cloaked'")
    assert found.fetchall() == [(6,)]
    assert len(pd.read_parquet(folder)) == 11


def test_the_state_folder_is_for_its_owner_alone_and_holds_no_picture_afterwards(run: Run) -> None:
    assert run.state.stat().st_mode & 0o077 == 0
    kept = ("faces/all", "people", "targets", "starts", "changes/all", "prototypes/all")
    notes = ("source", "photoveil-state.json")
    assert set(hashes(run.state)) == {*notes, *(f"people/{name}.parquet" for name in kept)}


def test_the_plan_says_what_a_run_would_do_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    done = photoveil("plan", run.photos, tmp_path / "out", "--state", tmp_path / "state")
    assert "11  to do: new" in done.stdout
    assert "Disk: about" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_does_only_what_is_new(run: Run) -> None:
    shutil.copyfile(run.photos / "2013/joe.jpg", run.photos / "2014/new.jpg")
    code, said = invoked("run", *run.command)
    rows = manifest.read(str(run.out / "_photoveil/manifest")).to_pylist()
    assert code == 3  # the damaged one still fails
    assert "9  done by an earlier run" in said
    assert "1  failed in an earlier run, unchanged" in said
    assert "Failed in an earlier run, and not tried again (1):\n  2013/damaged.jpg:" in said
    by_source = {row["source"]: row for row in rows}
    assert len(by_source) == len(rows) == 12
    assert by_source["2014/new.jpg"]["status"] == "duplicate"
    assert by_source["2013/joe.jpg"] == run.rows["2013/joe.jpg"]
    assert len(list((run.out / "_photoveil/manifest").iterdir())) == 1


def test_what_failed_is_tried_again_when_told(run: Run) -> None:
    code, said = invoked("run", *run.command, "--retry")
    assert code == 3
    assert "1  to do: failed before, tried again" in said
    assert "Failed:\n  2013/damaged.jpg:" in said
    assert "not tried again" not in said
    code, said = invoked("status", run.out, "--state", run.state)
    assert code == 3
    assert "Failed when they were last tried:\n  2013/damaged.jpg:" in said


def test_other_settings_leave_what_is_done_unless_told(run: Run) -> None:
    _, said = invoked("plan", *run.command, "--mode", "low")
    assert "10  done with mode mid: left so (--recloak does them anew)" in said


def test_help_loads_none_of_the_heavy_libraries() -> None:
    assert "run" in photoveil("--help").stdout
    script = "import photoveil.pipeline.cli.main, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    heavy = {"tensorflow", "apache_beam", "numpy", "PIL", "pyarrow", "pydantic"}
    assert not heavy & set(done.stdout.split())


HEAVY = {"tensorflow", "apache_beam", "scipy", "skimage", "sklearn", "flip_evaluator"}


def python(script: str, *arguments: object) -> str:
    """What a script prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "SHOWN " in done.stdout, done.stdout + done.stderr
    return done.stdout.rpartition("SHOWN ")[2].strip()


def test_what_finds_nothing_to_do_loads_none_of_the_heavy_libraries(run: Run) -> None:
    script = """
import sys
from photoveil.pipeline.cli import main
try:
    main.app(sys.argv[1:])
except SystemExit as ending:
    print("SHOWN", ending.code, *{name.partition(".")[0] for name in sys.modules})
"""
    state = ("--state", run.state)
    whole = (run.photos, run.out, *state, "--config", run.config)
    for command, code in ((("status", run.out, *state), 3), (("plan", *whole), 0)):
        found, *modules = python(script, *command).split()
        assert (int(found), HEAVY & set(modules)) == (code, set())
    found, *modules = python(script, "run", *whole).split()
    assert (int(found), HEAVY & set(modules)) == (3, set())


@pytest.mark.slow
def test_a_path_without_programs_prints_no_traceback() -> None:
    """As it was told by joblib, which looks for lscpu and cat when people are clustered."""
    script = """
import os
from photoveil.pipeline import quiet_logs
quiet_logs.hide()
os.environ["PATH"] = ""
quiet_logs.import_tensorflow()
import numpy as np
from sklearn.cluster import KMeans
KMeans(2, n_init=1).fit(np.eye(4))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_tensorflow_is_loaded_once_the_plan_is_shown(run: Run, tmp_path: Path) -> None:
    script = """
import sys
from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import main

def load(console):
    print("SHOWN", "tensorflow" in sys.modules)
    raise OSError("that was enough")

quiet_logs.load_tensorflow = load
main.app(sys.argv[1:])
"""
    said = ("run", run.photos, tmp_path / "out", "--state", tmp_path / "state")
    assert python(script, *said) == "False"


def test_what_libraries_do_as_the_process_ends_is_not_its_exit_code() -> None:
    # As TensorFlow's or Arrow's threads did after a finished run: abort from C++'s last rites.
    script = """
import ctypes, sys
from photoveil.pipeline.cli import main
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)
sys.argv = ["photoveil", "--version"]
main.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("photoveil ")


def test_what_ends_a_thread_of_ours_is_told() -> None:
    script = """
import threading
from photoveil.pipeline import quiet_logs
quiet_logs.hide()
threading.Thread(target=lambda: 1 / 0).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "ZeroDivisionError" in done.stderr


def test_the_extras_that_users_are_told_of_are_there() -> None:
    files = (Path("README.md"), *Path("docs").glob("*.md"))
    told = set(re.findall(r"(?:photoveil|\.)\[([a-z-]+)\]", "".join(f.read_text() for f in files)))
    assert {"heif", "evaluate"} <= told
    assert told <= set(metadata("photoveil").get_all("Provides-Extra") or [])


def test_version() -> None:
    assert photoveil("--version").stdout == "photoveil 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing", "out"), "does not exist"),
        (("in/a.jpg", "in"), "lies in that folder"),
        (("in/a.jpg", "in/b.jpg", "out"), "in/b.jpg does not exist"),
        (("in/a.jpg", "full/a.jpg"), "is a file"),
        (("in/a.jpg", "gs://bucket/b.jpg", "out"), "gs://bucket"),
        (("in", "full", "out"), "lies in that folder"),
        (("sidecars/a.xmp", "out"), "no photo was found in what was given"),
        (("in", "in/out"), "lies inside the input folder"),
        (("in", "."), "lies inside the output folder"),
        (("in", "full"), "not empty"),
        (("in", "out", "--state", "out/state"), "must stay private"),
        (("in", "out", "--config", "bad.yaml"), "cloak.dssim: no such setting"),
        (("in", "out", "--config", "range.yaml"), "cloak.steps"),
        (("in", "out", "--config", "not there.yaml"), "not there.yaml cannot be read"),
        (
            ("in", "out", "--review", "not there.json"),
            "not there.json cannot be read: no",
        ),
        (("in", "gs://"), "gs://"),
        (("in", "out", "--mode", "best"), "best"),
        (("in", "out", "--workers", "0"), "run.workers"),
        (("in", "out", "--since", "last week"), "last week is no date"),
        (("in", "out", "--deadline", "6 am"), "6 am is no time of day"),
        (("in", "out", "--deadline", "06:00+02:00"), "is no time of day"),
        (("in", "out", "--limit", "0"), "--limit"),
        (("in", "out", "--limit", "many"), "--limit"),
        (("in", "out", "--max-delete", "3"), "add it"),
        (("in", "out", "--yes"), "add it"),
        (("in", "out", "--prune", "--yes", "--max-delete", "3"), "choose one"),
        (("in", "out", "--only", "Berta"), "nobody is called Berta"),
        (("in", "out", "--config", "options.yaml"), "Beam has no option"),
        (("empty", "out"), "no photo was found in"),
        (("junk", "out"), "no photo was found in"),
        (("sidecars", "out"), "no photo was found in"),
        (("notes", "out"), "no photo was found in"),
    ],
)
def test_bad_input_is_refused_with_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "full"):
        Path(folder).mkdir()
        Path(folder, "a.jpg").write_bytes(b"\xff\xd8")
    Path("bad.yaml").write_text("cloak: {dssim: 1}\n")
    Path("range.yaml").write_text("cloak: {steps: 0}\n")
    Path("options.yaml").write_text("run: {options: {no_such_option: 1}}\n")
    Path("empty/folders/only").mkdir(parents=True)
    for name in ("junk/.DS_Store", "junk/@eaDir/a.jpg/thumb.jpg", "junk/2019/Thumbs.db"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"\0\0\0\1Bud1")
    for name in ("sidecars/a.xmp", "sidecars/a.mov", "notes/read me.txt", "notes/empty"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"<x:xmpmeta/>" if "." in name else b"")
    before = hashes(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    code, said = invoked("run", *arguments)
    assert code == 2, said
    assert words in said
    assert not Path("out").exists()
    assert not Path("state").exists()
    assert hashes(tmp_path) == before


def test_why_input_is_refused_is_said_on_standard_error(tmp_path: Path) -> None:
    done = photoveil("run", tmp_path / "missing", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert "missing does not exist" in done.stderr


@pytest.mark.parametrize("command", ["plan", "scan"])
@pytest.mark.parametrize(
    ("since", "words"), [("2026-13-01", "is no date"), ("2026-01-01", "no photo was found")]
)
def test_other_commands_refuse_the_same(
    tmp_path: Path, command: str, since: str, words: str
) -> None:
    (tmp_path / "in").mkdir()
    places = (tmp_path / "in", tmp_path / "out", "--state", tmp_path / "state")
    code, said = invoked(command, *places, "--since", since)
    assert code == 2, said
    assert words in said
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
