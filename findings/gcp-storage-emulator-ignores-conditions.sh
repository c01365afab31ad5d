#!/usr/bin/env bash
# gcp-storage-emulator 2026.7.19 takes no notice of conditions on a write.
#
# Google Cloud Storage writes an object with ifGenerationMatch=0 only where there is none, and answers
# 412 otherwise; locks in buckets rest on that. The emulator answers 200 to the second such write and
# replaces the object, so a test of a lock passes or fails against it for the wrong reason.
#
# Exits 0 while that is so, 1 once it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet gcp-storage-emulator==2026.7.19 'setuptools<81'
port=9823
"$folder/venv/bin/gcp-storage-emulator" start --host 127.0.0.1 --port $port --in-memory \
    --default-bucket bucket > "$folder/log" 2>&1 &
server=$!
"$folder/venv/bin/python" - $port <<'PYTHON'
import sys
import time
import urllib.error
import urllib.request

place = f"http://127.0.0.1:{sys.argv[1]}/upload/storage/v1/b/bucket/o?uploadType=media&name=lock"


def write(data: bytes) -> int:
    request = urllib.request.Request(f"{place}&ifGenerationMatch=0", data, method="POST")
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code


for _ in range(50):
    try:
        first = write(b"first")
        break
    except urllib.error.URLError:
        time.sleep(0.2)
second = write(b"second")
url = f"http://127.0.0.1:{sys.argv[1]}/storage/v1/b/bucket/o/lock?alt=media"
content = urllib.request.urlopen(url).read().decode()
seen = f"first {first}, second {second}, the object holds: {content}"
print(seen)
sys.exit(seen != "first 200, second 200, the object holds: second")
PYTHON
# Seen:
# first 200, second 200, the object holds: second
