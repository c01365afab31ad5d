"""Photos that the tests share: the pinned demo photos, and labelled data where a machine has it."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from PIL import Image

from photoveil.transforms.io import assets, object_store
from tests import clouds

if TYPE_CHECKING:
    from tests.archives import Archive, Base

DATA_ENV = "PHOTOVEIL_DATA"
# The files of `make test-fast`: quick, without TensorFlow and without labelled photos.
FAST = (
    *("assets", "codecs_*", "discover", "docs", "evaluate_metrics", "generated_docs", "inputs"),
    *("make_archive", "output_names", "plan", "progress", "read", "reasons", "scans", "sidecars"),
    "storage",
)
NOT_FAST = ("codecs_exiftool", "codecs_real_files")
# The files that take longest, longest first: one that began last would keep one processor alone.
LONG = (
    *("cloak", "kill", "hidden_faces", "cli", "runners", "people", "evaluate_command"),
    *("dask_runner", "leaks", "private_state", "prune"),
)


def is_fast(file: Path) -> bool:
    name = file.stem.removeprefix("test_")
    return name not in NOT_FAST and any(fnmatch(name, pattern) for pattern in FAST)


def only_fast(config: pytest.Config) -> bool:
    return str(config.option.markexpr).startswith("fast")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no other file than those of the fast lane: most load TensorFlow."""
    is_test = collection_path.match("test_*.py")
    return True if is_test and only_fast(config) and not is_fast(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_fast(item.path):
            item.add_marker("fast")
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem.removeprefix("test_"), len(LONG)))


@pytest.fixture(scope="session", autouse=True)
def temporary_files_below_pytests_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a process that a test kills leaves in `TMPDIR` goes with pytest's own folders."""
    folder = str(tmp_path_factory.mktemp("tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_tensorflow_in_the_fast_lane(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if only_fast(request.config):
        assert "tensorflow" not in sys.modules, "leave the file that loads it out of FAST"


@pytest.fixture(scope="session")
def demo_photo() -> Callable[[str], Path]:
    """Path of a pinned demo photo, by its name in `configs/assets.yaml` ("obama.jpg")."""
    return assets.fetch


@pytest.fixture(scope="session")
def small_photo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of a demo photo of 500 pixels, where a test is not about what a photo of any size is."""
    folder = tmp_path_factory.mktemp("small")

    def small(name: str) -> Path:
        if not (folder / name).exists():
            with Image.open(assets.fetch(name)) as image:
                image.thumbnail((500, 500))
                image.save(folder / name)
        return folder / name

    return small


@pytest.fixture(scope="session")
def servers() -> Iterator[None]:
    """GCS and S3 servers, which the environment leads to."""
    with clouds.gcs(), clouds.s3():
        yield
    object_store._gcs.cache_clear()
    object_store._s3.cache_clear()


@pytest.fixture(params=["local", "gs", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder on each kind of storage, with nothing in it."""
    if request.param == "local":
        return str(tmp_path / "an [odd] root")
    request.getfixturevalue("servers")
    return f"{clouds.new_bucket(request.param)}/an [odd] root"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of labelled data, `$PHOTOVEIL_DATA` or `../shared/data` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get(DATA_ENV, beside))
    if not folder.is_dir():
        pytest.skip(f"no labelled data: set {DATA_ENV} to its folder")
    return folder


@pytest.fixture(scope="session")
def people_data(shared_data: Path) -> Path:
    """Photos of known people; `people.csv` says whose."""
    return _part(shared_data, "people")


@pytest.fixture(scope="session")
def exif_data(shared_data: Path) -> Path:
    """Photos with real camera metadata, damaged ones too."""
    return _part(shared_data, "exif")


def _part(data: Path, name: str) -> Path:
    if not (data / name).is_dir():
        pytest.skip(f"no {name} folder in the labelled data ({DATA_ENV})")
    return data / name


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A generated archive after its first run, which no test may change. The processes of
    pytest-xdist share one."""
    from tests.archives import Base  # loads TensorFlow, which most tests do without

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    made = folder / "base.pickle"
    with FileLock(folder / "base.lock"):
        if not made.exists():
            made.write_bytes(pickle.dumps(Base(folder / "base")))
    base: Base = pickle.loads(made.read_bytes())
    return base


@pytest.fixture
def archive(base: Base, tmp_path: Path) -> Archive:
    """The same, for a test to change."""
    from tests.archives import Archive

    for name in ("photos", "out", "state"):
        shutil.copytree(base.photos.parent / name, tmp_path / name)
    archive = Archive(tmp_path)
    assert archive.library.source == str(archive.photos)  # noted in the private state, too
    return archive
