"""Objects in buckets: `gs://bucket/name` and `s3://bucket/name`.

This module uses the clients that Beam's file systems are built on, and not these file systems. They
treat `[`, `?` and `*` in the name of a photo as a pattern when they delete, ignore a failed copy on
S3 and a missing bucket, cannot write conditionally, search for Google's credentials for half a
minute where there are none, and make a new S3 client for each call, which takes 160 ms of a core; a
client that is kept takes 5. Both clients find credentials and another server's address in the
environment, which workers on this machine share.

A write replaces the object in one request and both stores are strongly consistent: a reader gets
all of the old object or all of the new one, and an interrupted request leaves no trace. So a new
object needs no temporary one, and a rename, which both stores implement as a copy and a deletion,
would only add a moment at which the photo exists twice.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from photoveil.transforms.extras import install_command

_DELETIONS = 16  # at once
_NO_BUCKET = "there is no such bucket"

ABSENT = ""
"""The version of an object that is not there."""


class ConditionFailed(OSError):
    """The object has another version than the write was to replace."""


@dataclass(frozen=True)
class Stored:
    """path: of the object. size: bytes. modified: seconds since the epoch, by the server's clock.

    version: changes with each write.
    """

    path: str
    size: int
    modified: float
    version: str


def read(path: str, most: int = -1) -> bytes:
    """Read the object, or its first `most` bytes.

    Raises:
        OSError: as all functions here, in plain words.
    """
    store, bucket, key = _find(path)
    with _in_plain_words(path):
        return store.read(bucket, key, most)


def write(path: str, data: bytes, replaced: str | None = None) -> str:
    """Write an object as a whole or not at all.

    Args:
        replaced: write only if the object has this version, `ABSENT` if there must be none.

    Returns:
        The new version.

    Raises:
        ConditionFailed: it has another version.
    """
    store, bucket, key = _find(path)
    try:
        with _in_plain_words(path, _NO_BUCKET):
            return store.write(bucket, key, data, replaced)
    except FileNotFoundError as error:
        if replaced:  # as S3 says it
            raise ConditionFailed(errno.EEXIST, "someone else deleted it", path) from error
        raise


def copy(source: str, target: str) -> None:
    """Copy `source` to `target` in the same kind of store, on the server."""
    store, bucket, key = _find(source)
    with _in_plain_words(source):
        store.copy(bucket, key, *_find(target)[1:])


def find(prefix: str, most: int | None = None) -> Iterator[Stored]:
    """List the objects whose paths begin with `prefix`, by name."""
    store, bucket, start = _find(prefix)
    with _in_plain_words(prefix, _NO_BUCKET):
        yield from store.find(bucket, start, most)


def stat(path: str) -> Stored | None:
    """Return what is at exactly this path."""
    # Its own name is the first of all that begin with it.
    found = next(find(path, 1), None)
    return found if found is not None and found.path == path else None


def remove(paths: Iterable[str]) -> None:
    """Delete objects; one that does not exist is no error."""

    def delete(path: str) -> None:
        store, bucket, key = _find(path)
        with _in_plain_words(path):
            store.delete(bucket, key)

    with ThreadPoolExecutor(_DELETIONS) as pool:
        list(pool.map(delete, paths))


def problem(path: str) -> str | None:
    """Return why a path cannot be used, whatever is there; None if it can."""
    try:
        _find(path)
    except OSError as error:
        return error.strerror or str(error)
    return None


class _Store(Protocol):
    """What one kind of store can do; errors are those of its client."""

    def read(self, bucket: str, key: str, most: int) -> bytes: ...

    def write(self, bucket: str, key: str, data: bytes, replaced: str | None) -> str: ...

    def copy(self, bucket: str, key: str, to_bucket: str, to_key: str) -> None: ...

    def find(self, bucket: str, prefix: str, most: int | None) -> Iterator[Stored]: ...

    def delete(self, bucket: str, key: str) -> None: ...


class _Gcs:
    def __init__(self) -> None:
        from google.cloud.storage import Client
        from google.cloud.storage.retry import DEFAULT_RETRY

        self._client = Client(project=None)  # which only making buckets would need
        self._retry = DEFAULT_RETRY

    def _blob(self, bucket: str, key: str) -> Any:
        return self._client.bucket(bucket).blob(key)

    def read(self, bucket: str, key: str, most: int) -> bytes:
        from google.api_core.exceptions import RequestRangeNotSatisfiable

        try:
            # Raw: an object that is stored compressed is read as it lies.
            return self._blob(bucket, key).download_as_bytes(
                end=most - 1 if most > 0 else None, raw_download=True, retry=self._retry
            )
        except RequestRangeNotSatisfiable:
            return b""  # it is empty

    def write(self, bucket: str, key: str, data: bytes, replaced: str | None) -> str:
        blob = self._blob(bucket, key)
        generation = None if replaced is None else int(replaced or 0)
        blob.upload_from_string(
            data,
            "application/octet-stream",
            if_generation_match=generation,
            retry=self._retry,
        )
        return str(blob.generation)

    def copy(self, bucket: str, key: str, to_bucket: str, to_key: str) -> None:
        source, target = self._blob(bucket, key), self._blob(to_bucket, to_key)
        token, _, _ = target.rewrite(source, retry=self._retry)
        while token is not None:
            token, _, _ = target.rewrite(source, token=token, retry=self._retry)

    def find(self, bucket: str, prefix: str, most: int | None) -> Iterator[Stored]:
        for blob in self._client.list_blobs(
            bucket, prefix=prefix, max_results=most, retry=self._retry
        ):
            modified = blob.updated.timestamp()
            yield Stored(f"gs://{bucket}/{blob.name}", blob.size, modified, str(blob.generation))

    def delete(self, bucket: str, key: str) -> None:
        from google.api_core.exceptions import NotFound

        with contextlib.suppress(NotFound):
            self._blob(bucket, key).delete(retry=self._retry)


class _S3:
    def __init__(self) -> None:
        import boto3

        self._client = boto3.Session().client("s3")

    def read(self, bucket: str, key: str, most: int) -> bytes:
        body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
        with contextlib.closing(body):
            return body.read(None if most < 0 else most)

    def write(self, bucket: str, key: str, data: bytes, replaced: str | None) -> str:
        condition = {}
        if replaced is not None:
            condition = {"IfMatch": replaced} if replaced else {"IfNoneMatch": "*"}
        return self._client.put_object(Bucket=bucket, Key=key, Body=data, **condition)["ETag"]

    def copy(self, bucket: str, key: str, to_bucket: str, to_key: str) -> None:
        self._client.copy({"Bucket": bucket, "Key": key}, to_bucket, to_key)

    def find(self, bucket: str, prefix: str, most: int | None) -> Iterator[Stored]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, PaginationConfig={"MaxItems": most, "PageSize": most}
        )
        for page in pages:
            for item in page.get("Contents", ()):
                path, modified = f"s3://{bucket}/{item['Key']}", item["LastModified"].timestamp()
                yield Stored(path, item["Size"], modified, item["ETag"])

    def delete(self, bucket: str, key: str) -> None:
        self._client.delete_object(Bucket=bucket, Key=key)


@cache
def _gcs() -> _Store:
    return _Gcs()


@cache
def _s3() -> _Store:
    return _S3()


_STORES = {"gs": (_gcs, "gcp"), "s3": (_s3, "aws")}


def _find(path: str) -> tuple[_Store, str, str]:
    """The store, bucket and name of an object."""
    scheme, _, rest = path.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in _STORES:
        raise OSError(errno.EINVAL, "only local folders, gs:// and s3:// can be used", path)
    if not bucket:
        raise OSError(errno.EINVAL, "it names no bucket", path)
    try:
        key.encode()
    except UnicodeEncodeError as error:
        words = "its name is no UTF-8, as names in buckets must be: rename it"
        raise OSError(errno.EILSEQ, words, path) from error
    make, extra = _STORES[scheme]
    try:
        with _in_plain_words(path):
            return make(), bucket, key
    except ImportError as error:
        words = f"{scheme}:// needs more packages: {install_command(extra)}"
        raise OSError(errno.EPROTONOSUPPORT, words, path) from error


@contextlib.contextmanager
def _in_plain_words(path: str, missing: str = os.strerror(errno.ENOENT)) -> Iterator[None]:
    """Makes of a client's error one of the operating system's kind.

    Args:
        missing: what it means that something is not found.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise _plain(error, path, missing) from error  # such as a connection that failed
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("google", "botocore", "boto3", "requests"):
            raise
        raise _plain(error, path, missing) from error


def _plain(error: Exception, path: str, missing: str) -> OSError:
    status, code = _status(error)
    name = type(error).__name__
    if status == 412 or code == "ConditionalRequestConflict":
        return ConditionFailed(errno.EEXIST, "someone else wrote it", path)
    if code == "NoSuchBucket" or (status == 404 and "bucket does not exist" in str(error)):
        return OSError(errno.ENOENT, _NO_BUCKET, path)
    if status == 404:
        return OSError(errno.ENOENT, missing, path)
    if status == 401 or "Credentials" in name or "Token" in name or "Refresh" in name:
        words = "no credentials, or they are not accepted (docs/storage.md says how to give them)"
        return OSError(errno.EACCES, words, path)
    if status == 403:
        return OSError(errno.EACCES, os.strerror(errno.EACCES), path)
    if status is None and ("Connect" in name or "Timeout" in name or name == "RetryError"):
        return OSError(errno.EHOSTUNREACH, "the server cannot be reached", path)
    return OSError(errno.EIO, f"the storage service gave an error ({code or status or name})", path)


def _status(error: Exception) -> tuple[int | None, str]:
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status, response.get("Error", {}).get("Code", "")
    code = getattr(error, "code", None)
    return (int(code) if code is not None else None), ""
