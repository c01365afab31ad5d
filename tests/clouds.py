"""Object stores on this machine, for tests: servers that speak the protocols of GCS and S3.

By default those that a Python package brings: moto for S3, and gcp-storage-emulator, which takes no
notice of conditions on a write. With PHOTOVEIL_CLOUDS naming a folder (`make test-cloud`),
versitygw and fake-gcs-server, which do.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from photoveil.transforms.io import object_store

CLOUDS = os.environ.get("PHOTOVEIL_CLOUDS")
KEY, SECRET = "photoveil", "photoveil-secret"


@contextlib.contextmanager
def s3() -> Iterator[str]:
    """URL of an S3 server; within, the environment leads there."""
    with _versitygw(Path(CLOUDS, "versitygw")) if CLOUDS else _moto() as url:
        settings = {
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        with _environment(settings):
            yield url


@contextlib.contextmanager
def gcs() -> Iterator[str]:
    """URL of a GCS server; within, the environment leads there."""
    with (
        _fake_gcs(Path(CLOUDS, "fake-gcs-server")) if CLOUDS else _emulator() as url,
        _google_account() as credentials,
        _environment({"STORAGE_EMULATOR_HOST": url, "GOOGLE_APPLICATION_CREDENTIALS": credentials}),
    ):
        object_store._gcs.cache_clear()  # a client that is kept leads to the server before
        yield url
        object_store._gcs.cache_clear()


def new_bucket(scheme: str) -> str:
    """A bucket of its own, as `gs://name` or `s3://name`."""
    name = f"photos-{uuid.uuid4().hex[:12]}"
    if scheme == "gs":
        from google.cloud.storage import Client

        client = Client.create_anonymous_client()
        client.project = "test"
        client.create_bucket(name)
    else:
        import boto3

        boto3.client("s3").create_bucket(Bucket=name)
    return f"{scheme}://{name}"


@contextlib.contextmanager
def _google_account() -> Iterator[str]:
    """A file of credentials, for which a server on this machine gives tokens.

    Beam's own file system, which stages a job, wants some even for an emulator.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), _Tokens) as server, _folder() as folder:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proof, file = folder / "proof", folder / "credentials.json"
        proof.write_text("it is me")
        account = {
            "type": "external_account",
            "audience": "photoveil",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"http://127.0.0.1:{server.server_port}/token",
            "credential_source": {"file": str(proof)},
        }
        file.write_text(json.dumps(account))
        try:
            yield str(file)
        finally:
            server.shutdown()


class _Tokens(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        kind = "urn:ietf:params:oauth:token-type:access_token"
        token = {"access_token": "token", "issued_token_type": kind, "token_type": "Bearer"}
        body = json.dumps({**token, "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextlib.contextmanager
def _moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextlib.contextmanager
def _emulator() -> Iterator[str]:
    from gcp_storage_emulator.server import create_server

    port = _free_port()
    with create_server("127.0.0.1", port, in_memory=True):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _versitygw(program: Path) -> Iterator[str]:
    port = _free_port()
    with _folder() as folder:
        command = [program, "--port", f"127.0.0.1:{port}", "--quiet", "posix", folder]
        keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        with _running(command, f"http://127.0.0.1:{port}", keys) as url:
            yield url


@contextlib.contextmanager
def _fake_gcs(program: Path) -> Iterator[str]:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    where = ["-host", "127.0.0.1", "-port", str(port), "-external-url", url]
    command = [program, "-scheme", "http", "-backend", "memory", *where]
    with _running([*command, "-public-host", f"127.0.0.1:{port}", "-log-level", "error"], url, {}):
        yield url


@contextlib.contextmanager
def _running(command: list[object], url: str, environment: dict[str, str]) -> Iterator[str]:
    process = subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(url, timeout=1)
                break
            except urllib.error.HTTPError:
                break  # it wants to know who asks
            except OSError:
                pass
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}")
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
