#!/usr/bin/env bash
# obstore 0.12.1 refuses names of objects that a bucket may hold: with control characters, empty parts
# or dots as parts.
#
# It could replace both clients of transforms/io/object_store.py: it writes on conditions as the lease
# needs (mode="create", or an e_tag to replace). But a photo whose name has such a part could neither be
# read nor reported, where ours reads the former and reports the latter.
#
# Exits 0 while that is so, 1 once it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet obstore==0.12.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import obstore
from obstore.store import MemoryStore

store = MemoryStore()


def outcome(name: str, **options: object) -> str:
    try:
        obstore.put(store, name, b"", **options)
    except Exception as error:
        return type(error).__name__
    return "written"


seen = [outcome("lock", mode=mode) for mode in ("create", "create", {"e_tag": "other"})]
seen += [outcome(name) for name in ("a [b]/ä.jpg", "bell\x07.jpg", "a//b.jpg", "a/../b.jpg")]
print(*seen)
conditions = ["written", "AlreadyExistsError", "PreconditionError"]
sys.exit(seen != [*conditions, "written", "ValueError", "ValueError", "ValueError"])
PYTHON
# Seen:
# written AlreadyExistsError PreconditionError written ValueError ValueError ValueError
