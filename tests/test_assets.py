"""Pinned assets: verified, cached, refused when they are not what they should be."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import (
    BaseHTTPRequestHandler,
    SimpleHTTPRequestHandler,
    ThreadingHTTPServer,
)
from pathlib import Path

import pytest

from photoveil.transforms.io import asset_file, assets
from photoveil.transforms.io.assets import Asset, AssetError, Source
from tests.commands import invoked

CONTENT = b"a model" * 100
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(assets.CACHE_ENV, str(folder))
    return folder


@pytest.fixture(autouse=True)
def fresh_opener() -> Iterator[None]:
    """urllib keeps the proxies that it saw first for the whole process."""
    urllib.request.install_opener(None)
    yield
    urllib.request.install_opener(None)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package index and no web: every real client gives up at once."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("npm_config_registry", NOWHERE)
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("no_proxy", "")


Pinned = Callable[..., Asset]


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> Pinned:
    """Puts one asset into an otherwise empty catalogue."""

    def pin(*sources: Source, content: bytes = CONTENT) -> Asset:
        sha256 = hashlib.sha256(content).hexdigest()
        asset = Asset("demo.bin", "model", "a demo", "MIT", sha256, sources)
        monkeypatch.setattr(assets, "catalogue", lambda: {asset.name: asset})
        return asset

    return pin


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A minimal wheel that pip accepts, with CONTENT in it."""
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo/model.bin", CONTENT)
        archive.writestr(
            "demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
        )
        archive.writestr(
            "demo-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    return path


def packaged(wheel: Path, sha256: str | None = None, member: str = "demo/model.bin") -> Source:
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Source(pypi=f"demo @ {wheel.as_uri()}", package_sha256=sha256 or right, member=member)


def address(path: Path, content: bytes) -> Source:
    path.write_bytes(content)
    return Source(url=path.as_uri())


def kept(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_every_entry_of_the_catalogue_is_pinned() -> None:
    for asset in assets.catalogue().values():
        assert len(bytes.fromhex(asset.sha256)) == 32
        assert asset.sources
        for source in asset.sources:
            assert source.url or (source.package_sha256 and source.member), asset.name


def test_demo_photo_has_the_pinned_hash(demo_photo: Callable[[str], Path]) -> None:
    data = demo_photo("obama.jpg").read_bytes()
    assert hashlib.sha256(data).hexdigest() == assets.catalogue()["obama.jpg"].sha256


def test_warm_cache_needs_no_network(
    demo_photo: Callable[[str], Path],
    cache: Path,
    offline: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(assets.CACHE_ENV)
    warm = demo_photo("astronaut.png")
    monkeypatch.setenv(assets.CACHE_ENV, str(cache))
    target = assets.cached_path(assets.catalogue()["astronaut.png"])
    target.parent.mkdir(parents=True)
    shutil.copy(warm, target)
    monkeypatch.setenv("PATH", "")
    assert assets.fetch("astronaut.png") == target


def test_unknown_asset_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        assets.fetch("no-such-asset")


@pytest.mark.parametrize("name", ["rocket.jpg", "faceres.json"])
def test_error_lists_every_source(name: str, cache: Path, offline: None) -> None:
    with pytest.raises(AssetError) as failure:
        assets.fetch(name)
    asset = assets.catalogue()[name]
    assert asset.about in str(failure.value)
    for source in asset.sources:
        assert str(source) in str(failure.value)
    assert kept(cache) == []


def test_file_from_an_address_is_kept(cache: Path, tmp_path: Path, pinned: Pinned) -> None:
    asset = pinned(address(tmp_path / "file", CONTENT))
    path = assets.fetch("demo.bin")
    assert path.read_bytes() == CONTENT
    assert kept(cache) == [path] == [assets.cached_path(asset)]


def test_file_with_a_wrong_hash_is_refused(cache: Path, tmp_path: Path, pinned: Pinned) -> None:
    asset = pinned(address(tmp_path / "file", b"something else"))
    with pytest.raises(AssetError, match=f"wrong hash: expected sha256 {asset.sha256}"):
        assets.fetch("demo.bin")
    assert kept(cache) == []


def test_next_source_is_tried(cache: Path, tmp_path: Path, pinned: Pinned) -> None:
    pinned(
        Source(url=(tmp_path / "missing").as_uri()),
        address(tmp_path / "wrong", b"something else"),
        address(tmp_path / "right", CONTENT),
    )
    assert assets.fetch("demo.bin").read_bytes() == CONTENT


def test_tampered_cache_is_replaced(cache: Path, tmp_path: Path, pinned: Pinned) -> None:
    asset = pinned(address(tmp_path / "file", CONTENT))
    path = assets.fetch("demo.bin")
    path.write_bytes(b"tampered")
    assert not assets.is_cached(asset)
    assert assets.fetch("demo.bin").read_bytes() == CONTENT


def test_tampered_cache_is_not_used_when_nothing_replaces_it(
    cache: Path, tmp_path: Path, pinned: Pinned
) -> None:
    pinned(address(tmp_path / "file", CONTENT))
    assets.fetch("demo.bin").write_bytes(b"tampered")
    (tmp_path / "file").unlink()
    with pytest.raises(AssetError):
        assets.fetch("demo.bin")


def test_member_of_a_package_is_kept(
    cache: Path, wheel: Path, pinned: Pinned, offline: None
) -> None:
    pinned(packaged(wheel))
    assert assets.fetch("demo.bin").read_bytes() == CONTENT


def test_package_with_a_wrong_hash_is_refused(
    cache: Path, wheel: Path, pinned: Pinned, offline: None
) -> None:
    pinned(packaged(wheel, sha256="0" * 64))
    with pytest.raises(AssetError, match=r"Expected sha256 0+; Got [0-9a-f]{64}"):
        assets.fetch("demo.bin")
    assert kept(cache) == []


def test_package_without_the_member_is_named(
    cache: Path, wheel: Path, pinned: Pinned, offline: None
) -> None:
    pinned(packaged(wheel, member="demo/other.bin"))
    with pytest.raises(AssetError, match=r"the package has no demo/other\.bin"):
        assets.fetch("demo.bin")


@pytest.fixture
def torn_download() -> Iterator[str]:
    """An address that promises more bytes than it sends."""

    class Torn(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:50])

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Torn) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/file"
        server.shutdown()


def test_torn_download_is_refused(
    cache: Path, tmp_path: Path, pinned: Pinned, torn_download: str
) -> None:
    pinned(Source(url=torn_download))
    with pytest.raises(AssetError, match="IncompleteRead"):
        assets.fetch("demo.bin")
    assert kept(cache) == []


@pytest.fixture
def registries(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> Iterator[dict[str, str]]:
    """A package index and an npm registry on this machine, and no pip and no npm.

    Yields:
        The sha256 of the package of each.
    """

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(root))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    root = tmp_path / "served"
    page, packages = root / "simple" / "demo", root / "@scope" / "demo" / "-"
    page.mkdir(parents=True)
    packages.mkdir(parents=True)
    shutil.copy(wheel, root / wheel.name)
    pypi = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (page / "index.html").write_text(
        f'<a href="../../other.whl#sha256={"0" * 64}">other</a>'
        f'<a href="../../{wheel.name}#sha256={pypi}">{wheel.name}</a>'
    )
    tarball = packages / "demo-1.0.tgz"
    with tarfile.open(tarball, "w:gz") as tar:
        entry = tarfile.TarInfo("package/model.bin")
        entry.size = len(CONTENT)
        tar.addfile(entry, io.BytesIO(CONTENT))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(assets, "PYPI", f"{address}/simple")
    monkeypatch.setenv("npm_config_registry", f"{address}/")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(assets, "find_spec", lambda name: None)
    yield {"pypi": pypi, "npm": hashlib.sha256(tarball.read_bytes()).hexdigest()}
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["pypi", "npm"])
def test_packages_need_no_client(registries: dict[str, str], pinned: Pinned, kind: str) -> None:
    source = {
        "pypi": Source(pypi="demo==1.0", member="demo/model.bin"),
        "npm": Source(npm="@scope/demo@1.0", member="package/model.bin"),
    }[kind]
    pinned(replace(source, package_sha256=registries[kind]))
    assert assets.fetch("demo.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["pypi", "npm"])
def test_package_that_changed_is_refused(
    registries: dict[str, str], pinned: Pinned, cache: Path, kind: str
) -> None:
    source = {"pypi": Source(pypi="demo==1.0"), "npm": Source(npm="@scope/demo@1.0")}[kind]
    pinned(replace(source, package_sha256="1" * 64, member="demo/model.bin"))
    with pytest.raises(AssetError, match="1" * 64):
        assets.fetch("demo.bin")
    assert kept(cache) == []


def test_a_package_is_downloaded_once_for_all_that_is_needed_of_it(
    registries: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(pypi="demo==1.0", package_sha256=registries["pypi"], member="demo/model.bin")
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    both = {n: Asset(n, "model", "", "MIT", sha256, (source,)) for n in ("one", "other")}
    monkeypatch.setattr(assets, "catalogue", lambda: both)
    assets.fetch("one")
    monkeypatch.setattr(assets, "PYPI", NOWHERE)
    assert assets.fetch("other").read_bytes() == CONTENT


@pytest.fixture
def exported(cache: Path, tmp_path: Path, pinned: Pinned) -> Path:
    """A file that `--export` made of one asset, and an empty cache."""
    pinned(address(tmp_path / "file", CONTENT))
    file = tmp_path / "assets.zip"
    asset_file.export(["demo.bin"], file)
    shutil.rmtree(cache)
    (tmp_path / "file").unlink()
    return file


def test_exported_assets_are_imported_without_a_network(
    exported: Path, cache: Path, offline: None
) -> None:
    assert asset_file.import_from(exported) == ["demo.bin"]
    assert assets.fetch("demo.bin").read_bytes() == CONTENT


def test_an_export_is_the_same_to_the_byte_and_says_the_licences(
    exported: Path, tmp_path: Path
) -> None:
    asset_file.import_from(exported)
    asset_file.export(["demo.bin"], tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == exported.read_bytes()
    with zipfile.ZipFile(exported) as archive:
        notice = archive.read(asset_file.NOTICE).decode()
    assert "licence: MIT" in notice and hashlib.sha256(CONTENT).hexdigest() in notice


def test_changed_assets_are_not_imported(exported: Path, cache: Path) -> None:
    data = exported.read_bytes()
    at = data.index(CONTENT)
    exported.write_bytes(data[:at] + b"A" + data[at + 1 :])
    with pytest.raises(AssetError, match="damaged"):
        asset_file.import_from(exported)
    with zipfile.ZipFile(exported) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(exported, "w") as archive:
        for name in names:
            archive.writestr(name, "other")
    with pytest.raises(AssetError, match="wrong hash"):
        asset_file.import_from(exported)
    assert kept(cache) == []


def test_an_export_goes_over_no_other_file(exported: Path, tmp_path: Path) -> None:
    asset_file.import_from(exported)
    letter = tmp_path / "letter.txt"
    letter.write_text("mine")
    for wrong, words in ((letter, "was not made by Photoveil for this"), (tmp_path, "is a folder")):
        before = sorted(tmp_path.iterdir())
        code, said = invoked("assets", "--export", wrong)
        assert code == 2 and words in said.replace("\n", " ")
        assert sorted(tmp_path.iterdir()) == before
    assert letter.read_text() == "mine"
    assert invoked("assets", "--export", exported)[0] == 0  # an earlier one of its kind


@pytest.mark.parametrize("content", [b"no archive", None], ids=["text", "other archive"])
def test_other_files_are_not_imported(
    cache: Path, tmp_path: Path, wheel: Path, content: bytes | None
) -> None:
    file = wheel
    if content is not None:
        file = tmp_path / "file.zip"
        file.write_bytes(content)
    code, said = invoked("assets", "--import", file)
    assert code == 1 and "photoveil assets --export" in said


def test_what_a_file_of_another_version_lacks_is_named(
    exported: Path, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (asset,) = assets.catalogue().values()
    new = replace(asset, name="new.bin", sha256="2" * 64)
    monkeypatch.setattr(assets, "catalogue", lambda: {"demo.bin": asset, "new.bin": new})
    code, said = invoked("assets", "--import", exported)
    assert code == 1 and "new.bin was not in the file" in said
    assert assets.is_cached(asset)
