"""The same command on other runners: the same files, the same manifest.

The engines run where they are asked for, since each takes half a minute: `make test-prism`,
`make test-dask`, `make test-flink`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from PIL import Image

from photoveil.pipeline.cli.demo_folder import build_archive
from photoveil.pipeline.runners import select
from photoveil.pipeline.runners import worker_pool as local_workers
from photoveil.pipeline.settings import RunSettings, SettingsError, load_settings
from photoveil.transforms.beam.progress import ProgressReader
from photoveil.transforms.io import assets, storage
from photoveil.transforms.photo import codec_process
from tests import clouds
from tests.archives import QUICK as SMALL
from tests.archives import Archive
from tests.commands import photoveil
from tests.dask_cluster import cluster
from tests.flink import session_cluster
from tests.support.outputs import photos_of, rows_of
from tests.support.processes import descendants, worker_pool

ENGINES = os.environ.get("PHOTOVEIL_RUNNERS", "").split()
QUICK = "cloak: {steps: 8, batch_size: 3, surrogates: [mobilefacenet]}\nrun:\n  wave_photos: 6\n"


def on(name: str) -> pytest.MarkDecorator:
    reason = f"takes long: runs only where PHOTOVEIL_RUNNERS has {name}"
    return pytest.mark.skipif(name not in ENGINES, reason=reason)


class Base:
    """A small archive with what a real one has in it, and the local runner's run over it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.photos = folder, folder / "photos"
        build_archive(self.photos)
        two = [np.asarray(Image.open(assets.fetch(f"{name}.jpg"))) for name in ("obama", "biden")]
        height = min(picture.shape[0] for picture in two)
        both = np.concatenate([picture[:height] for picture in two], axis=1)
        Image.fromarray(both).save(self.photos / "2014/together.jpg", quality=92)
        self.reference = self.run("local")

    def command(self, name: str, runner: str, config: str = "") -> list[object]:
        """The arguments of a run into a library of its own."""
        settings = self.folder / f"{name}.yaml"
        settings.write_text(QUICK + config)
        return [
            *("run", self.photos, self.folder / name, "--state", self.folder / f"{name}-state"),
            *("--config", settings, "--runner", runner),
        ]

    def run(
        self, name: str, runner: str = "local", config: str = "", *more: str, **environment: str
    ) -> Path:
        """The output folder of a run that has failed on no other photo than the damaged one."""
        out = self.folder / name
        done = photoveil(*self.command(name, runner, config), *more, **environment)
        assert done.returncode == 3, done.stdout + done.stderr
        assert runner != "local" or done.stderr == ""
        return out

    def assert_same(self, out: Path, dates: bool = True) -> None:
        """Compare with a local run. dates: of the originals, too."""
        assert photos_of(out) == photos_of(self.reference)
        found, usual = rows_of(out), rows_of(self.reference)
        for row in () if dates else (*found.values(), *usual.values()):
            del row["source_modified"]
        assert found == usual


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """The command, while the test goes on."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("photoveil")), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return Base(tmp_path_factory.mktemp("runners"))


@pytest.fixture
def job_server() -> str:
    return f"flink_job_server_jar: {os.environ['FLINK_JOB_SERVER']}"


@on("workers")
def test_several_processes_write_the_same(base: Base) -> None:
    base.assert_same(base.run("workers", config="  workers: 2\n"))


def test_two_processes_write_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, temporary = tmp_path / "photos", tmp_path / "temporary"
    photos.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))  # of the processes, which this test starts
    codecs: list[Any] = []  # they end with it, for they would go on using that folder
    monkeypatch.setattr(codec_process, "_idle", codecs)
    assert local_workers._kept == {}
    for name in ("obama.jpg", "biden.jpg", "chelsea.png"):
        with Image.open(assets.fetch(name)) as image:
            image.convert("RGB").resize((240, 300)).save(photos / name)
    one = Archive(tmp_path / "one")
    two = Archive(tmp_path / "two", SMALL.model_copy(update={"run": RunSettings(workers=2)}))
    for archive in (one, two):
        archive.out.mkdir(parents=True)
        archive.photos.symlink_to(photos, target_is_directory=True)
        assert archive.run().statuses == {"cloaked": 2, "no_face": 1}
    assert photos_of(two.out) == photos_of(one.out)
    assert rows_of(two.out) == rows_of(one.out)
    assert list(temporary.iterdir()) == []  # they end without a chance to delete anything
    for process in codecs:
        process.end()


@on("prism")
def test_prism_writes_the_same(base: Base) -> None:
    base.assert_same(base.run("prism", "prism"))


@on("prism")
def test_workers_apart_from_the_launcher_need_nothing_of_it(base: Base) -> None:
    """Nothing but what is pickled reaches a worker in a process of its own, and it takes the
    models from its own cache."""
    models, user = base.folder / "models", base.folder / "user"
    models.mkdir()
    (models / "assets").symlink_to(assets.cache_folder() / "assets")
    with worker_pool(PHOTOVEIL_CACHE=str(models), XDG_CACHE_HOME=str(user)) as (address, _):
        external = f"{{environment_type: EXTERNAL, environment_config: '{address}'}}"
        base.assert_same(base.run("apart", "prism", f"  options: {external}\n"))
    assert not user.exists()


@on("dask")
def test_a_dask_cluster_writes_the_same(base: Base, tmp_path: Path) -> None:
    """Its workers need nothing of the launcher, and take the models from a cache of their own."""
    models, user = tmp_path / "models", tmp_path / "user"
    models.mkdir()
    (models / "assets").symlink_to(assets.cache_folder() / "assets")
    own = {"PHOTOVEIL_CACHE": str(models), "XDG_CACHE_HOME": str(user)}
    with cluster(tmp_path / "dask", workers=3, **own) as three:
        out = base.run("dask", "dask", "", "--dask-scheduler", three.address)
    base.assert_same(out)
    assert not user.exists()
    (record,) = (out / "_photoveil/runs").glob("*.json")
    work = json.loads(record.read_text())["work"]
    assert work["photos"] == len(rows_of(out))
    assert all(work["seconds"][stage] > 0 for stage in ("read", "detect", "cloak", "publish"))


@on("dask")
def test_a_dask_run_of_which_a_worker_is_killed_ends_the_same(base: Base, tmp_path: Path) -> None:
    """Killed while it cloaks; and another one, which is killed while it scans the next wave."""
    with cluster(tmp_path / "dask", workers=3) as three:
        command = base.command("dask-killed", "dask")
        run = start(*command, "--dask-scheduler", three.address)
        progress = ProgressReader(base.folder / "dask-killed-state/progress")
        for worker, event, count in zip(three.workers, ("face", "scanned"), (2, 9), strict=False):
            while run.poll() is None and progress.update()[event] < count:
                time.sleep(0.05)
            assert run.poll() is None, "it ended before a worker was killed"
            worker.kill()
        said = run.communicate()[0].decode()
    assert run.returncode == 3, said
    base.assert_same(base.folder / "dask-killed")


@on("dask")
@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_a_dask_cluster_writes_the_same_to_buckets(
    base: Base, tmp_path: Path, scheme: str, servers: None
) -> None:
    if scheme == "gs" and not clouds.CLOUDS:
        pytest.skip("gcp-storage-emulator takes no notice of conditions: make test-cloud")
    bucket = clouds.new_bucket(scheme)
    for path in filter(Path.is_file, base.photos.rglob("*")):
        place = f"{bucket}/in/{path.relative_to(base.photos)}"
        storage.write_atomic(place, path.read_bytes(), f"{bucket}/unfinished")
    config = base.folder / "buckets.yaml"
    config.write_text(QUICK)
    with cluster(tmp_path / "dask") as two:
        done = photoveil(
            *("run", f"{bucket}/in", f"{bucket}/out", "--state", f"{bucket}/state"),
            *("--config", config, "--runner", "dask", "--dask-scheduler", two.address),
        )
    assert done.returncode == 3, done.stdout + done.stderr
    out = tmp_path / "out"
    for entry in storage.walk(f"{bucket}/out"):
        (out / entry.relative).parent.mkdir(parents=True, exist_ok=True)
        (out / entry.relative).write_bytes(storage.read_bytes(f"{bucket}/out/{entry.relative}"))
    base.assert_same(out, dates=False)  # what is put into a bucket is dated then


@on("flink")
def test_the_flink_in_the_job_server_writes_the_same(base: Base, job_server: str) -> None:
    base.assert_same(base.run("flink", "flink", f"  options: {{{job_server}}}\n"))


@on("flink")
def test_a_flink_session_cluster_writes_the_same(base: Base, job_server: str) -> None:
    """A job manager and two task managers, as on a cluster that is there already."""
    with session_cluster(Path(os.environ["FLINK_LIB"])) as master:
        options = f"{job_server}, flink_master: '{master}', parallelism: 2"
        options += ", environment_type: LOOPBACK"
        base.assert_same(base.run("session", "flink", f"  options: {{{options}}}\n"))


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(("--runner", "prism"), marks=on("prism")),
        pytest.param(("--workers", "2"), marks=on("workers")),
    ],
    ids=" ".join,
)
def test_ctrl_c_ends_after_the_photos_in_hand_and_another_runner_goes_on(
    base: Base, how: tuple[str, str]
) -> None:
    name = f"stopped-{how[1]}"
    out, state = base.folder / name, base.folder / f"{name}-state"
    config = base.folder / f"{name}.yaml"
    config.write_text(QUICK)
    run = start("run", base.photos, out, "--state", state, "--config", config, *how)
    while run.poll() is None and not (state / "progress").exists():
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to all that the command started
    said = run.communicate()[0].decode()
    assert run.returncode == 130, said
    assert "Stopped by Ctrl-C" in said
    assert 0 < len(rows_of(out)) < len(rows_of(base.reference))
    base.assert_same(base.run(name))


def test_worker_processes_are_kept_from_pipeline_to_pipeline(tmp_path: Path) -> None:
    def work(number: int, pipeline: int) -> None:
        (tmp_path / f"{pipeline}-{number} {os.getpid()}").touch()

    def build(number: int, pipeline: beam.Pipeline) -> None:
        _ = pipeline | beam.Create(range(20)) | beam.Reshuffle() | beam.Map(work, number)

    for number in range(2):
        select.run_pipeline(partial(build, number), RunSettings(workers=2))
    done = [path.name.split() for path in tmp_path.iterdir()]
    assert len(done) == 40
    assert len({process for _, process in done}) == 2
    assert str(os.getpid()) not in {process for _, process in done}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_end_of_a_worker_process_ends_the_run_and_the_next_has_new_ones() -> None:
    def end(number: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    settings = RunSettings(workers=2)
    with pytest.raises(OSError, match="a worker process ended with status -9"):
        select.run_pipeline(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(end), settings)
    select.run_pipeline(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(abs), settings)


@on("prism")
def test_a_job_server_ends_with_its_run() -> None:
    run = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import time, apache_beam as beam; "
            "from photoveil.pipeline.runners.select import run_pipeline; "
            "from photoveil.pipeline.settings import RunSettings; "
            "run_pipeline(lambda p: p | beam.Create([1]), RunSettings(runner='prism')); "
            "print('done', flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == b"done\n"
    servers = descendants(run.pid)
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in servers]
    assert any(b"prism" in command for command in commands)
    run.kill()
    run.wait()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in servers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in servers)


def test_an_unknown_option_of_beam_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="Beam has no option machin_type"):
        select.check(RunSettings(options={"machin_type": "n1"}))


def test_an_option_that_is_no_number_is_refused_before_anything_runs() -> None:
    with pytest.raises(SettingsError, match="invalid int value"):
        select.check(RunSettings(options={"job_server_timeout": "soon"}))


def test_no_program_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SettingsError, match="prism is not to be found"):
        select.check(RunSettings(runner="prism"))
    with pytest.raises(SettingsError, match=f"version {beam.__version__}"):
        select.check(RunSettings(runner="flink"))


def test_a_job_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    jar = tmp_path / "job-server.jar"
    jar.write_bytes(b"no jar")
    settings = RunSettings(runner="flink", options={"flink_job_server_jar": str(jar)})
    with pytest.raises(OSError, match=r"java does not start: .+"):
        select.run_pipeline(lambda pipeline: pipeline | beam.Create([1]), settings)


@on("prism")
def test_what_stopped_a_stage_is_in_the_error() -> None:
    """A full disk is told from other errors by its number."""

    def fail(number: int) -> int:
        raise OSError(28, "no space left on device")

    with pytest.raises(RuntimeError, match=r"\[Errno 28\]"):
        select.run_pipeline(
            lambda pipeline: pipeline | beam.Create([1]) | beam.Map(fail),
            RunSettings(runner="prism"),
        )


def test_the_preset_of_a_runner_lies_below_the_users_settings(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("run: {options: {project: mine, machine_type: n2-standard-8}}\n")
    run = load_settings(config, runner="dataflow").run
    assert run.runner == "dataflow"
    assert run.options["project"] == "mine"
    assert run.options["machine_type"] == "n2-standard-8"
    assert run.options["sdk_location"] == "container"
