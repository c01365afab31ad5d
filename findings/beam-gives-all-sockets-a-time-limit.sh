#!/usr/bin/env bash
# Beam (2.77.0) gives every new socket of a process a time limit of 60 seconds, once anything in it
# asks for credentials of Google's cloud: a job for Dataflow, or a file of gs://.
#
# `apache_beam.internal.gcp.auth` calls socket.setdefaulttimeout(60), for its HTTP client. In Python
# a socket with a time limit does not block, as far as the kernel is concerned, and that belongs to
# the open file and not to the process: who starts a child with one end of a socketpair hands it an
# end that does not block either. The child, whose own default is no limit, gets BlockingIOError
# (errno 11) in place of waiting. So `transforms/photo/codec_process.py` sets no limit on both ends.
#
# Seen: "None, then 60.0; the child: BlockingIOError". Exits 0 while that is so, 1 once it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "apache-beam[gcp]==2.77.0"
cat > "$folder/seen.py" <<'PYTHON'
import socket
import subprocess
import sys

from apache_beam.internal.gcp import auth
from apache_beam.options.pipeline_options import PipelineOptions

CHILD = """
import socket, sys
end = socket.socket(fileno=int(sys.argv[1]))
try:
    end.recv(1)
except Exception as error:
    print(type(error).__name__, end="")
else:
    print("waited", end="")
"""

before = socket.getdefaulttimeout()
auth.get_service_credentials(PipelineOptions(["--no_auth"]))
after = socket.getdefaulttimeout()
here, there = socket.socketpair()
child = subprocess.Popen(
    [sys.executable, "-c", CHILD, str(there.fileno())],
    pass_fds=[there.fileno()], stdout=subprocess.PIPE, text=True,
)
try:
    said, _ = child.communicate(timeout=5)
except subprocess.TimeoutExpired:
    here.send(b"x")
    said, _ = child.communicate()
seen = f"{before}, then {after}; the child: {said}"
print(seen)
sys.exit(seen != "None, then 60.0; the child: BlockingIOError")
PYTHON
"$folder/venv/bin/python" "$folder/seen.py" 2>/dev/null  # it tells that there are no credentials
