#!/usr/bin/env bash
# Makes the pictures in this folder: records dicom-sender in a terminal, and takes a screenshot of the status page of a
# coordinator with three workers. The destination is the one of the tests, which delays each answer by some milliseconds
# as an archive does. Needs a build with tests (tests/run.sh), DCMTK, Python, Chromium, and the right to create a mount
# namespace: the files are at /mnt in it, so that the pictures show no paths of this machine.
#
#   docs/pictures/make.sh [BIN_DIR]        the folder with the programs; default: build/release/bin
#
# Exit status: 0; 1 if a picture could not be made.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
bin=$(cd "${1:-$top/build/release/bin}" && pwd)

fail() {
  echo "make.sh: $*" >&2
  exit 1
}
for tool in python3 chromium curl dump2dcm jq; do
  command -v "$tool" > /dev/null || fail "'$tool': not installed; install it with apt-get"
done
if [ "${PICTURES_NAMESPACE:-}" != yes ]; then
  PICTURES_NAMESPACE=yes exec unshare --map-root-user --mount "$0" "$bin"
fi
[ -x "$bin/test-destination" ] || fail "'$bin/test-destination': not built; run tests/run.sh first"

work=$(mktemp -d)
started=() # the processes to be ended
# shellcheck disable=SC2317  # the trap calls it
finish() {
  local status=$? i
  set +e
  # In reverse order: a worker needs its coordinator to drain.
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do
    kill "${started[i]}" 2> /dev/null
    wait "${started[i]}" 2> /dev/null
  done
  if [ "$status" -ne 0 ]; then tail -n 15 "$work"/*.log >&2; fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

step() { echo "==> $*" >&2; }
# wait_for SECONDS WHAT COMMAND...
wait_for() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "$what: timed out"
    sleep 0.1
  done
}
# start NAME COMMAND...: in the background, with its output in a log.
start() {
  local name=$1
  shift
  "$@" > "$work/$name.log" 2>&1 &
  started+=("$!")
}
# start_destination NAME RULE...: sets port.
start_destination() {
  local name=$1 options=()
  shift
  while [ $# -gt 0 ]; do
    options+=(--do "$1")
    shift
  done
  port=$(free_port 11112)
  start "$name" "$bin/test-destination" --port "$port" --port-file "$work/$name.port" "${options[@]}"
  wait_for 10 "the start of $name" test -s "$work/$name.port"
}
# free_port FIRST: the first free port from this one on.
free_port() {
  python3 - "$1" << 'PYTHON'
import socket
import sys
for port in range(int(sys.argv[1]), 65536):
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
PYTHON
}
# make_images FOLDER STUDIES INSTANCES
make_images() {
  mkdir -p "$work/made"
  "$top/deploy/demo/make-studies.sh" "$work/made/all" "$2" "$3" > "$work/studies.log"
  mv "$work/made/all/studies" "$1"
  rm -r "$work/made/all"
}

# ---- dicom-sender in a terminal. Relative paths, because the recording shows them.

step "Recording dicom-sender"
mkdir "$work/terminal"
cd "$work/terminal"
make_images "$work/terminal/images" 8 150
start_destination archive "rule delay=20"
# An empty environment and home, so that no setting of this machine influences the recording.
env -i PATH="$bin:/usr/bin:/bin" HOME="$work/terminal" TERM=xterm-256color LANG=C.UTF-8 \
  "$here/record.py" "$here/dicom-sender.svg" \
  dicom-sender images -r -a ARCHIVE -H localhost -p "$port" -t 4 --output-dir report

# ---- The status page: a small session that has ended, and a large one in progress, each with failures.

step "Taking a screenshot of the status page"
mkdir "$work/storage"
mount --bind "$work/storage" /mnt
make_images /mnt/mr 60 10
make_images /mnt/ct 400 40
cd "$work"
start_destination research "rule nth=400 status=C000 comment=quota_exceeded"
research=$port
start_destination clinic "rule nth=500 status=0122" "rule nth=1500 status=A900" "rule delay=25"
clinic=$port
endpoint=tcp://127.0.0.1:$(free_port 5555)
page=127.0.0.1:$(free_port 9464)
start coordinator "$bin/dicom-coordinator" --ledger "$work/ledger.db" --output-dir "$work/report" --bind "$endpoint" \
  --metrics "$page"
for worker in worker1 worker2 worker3; do
  start "$worker" "$bin/dicom-worker" --coordinator "$endpoint" --worker-id "$worker" -t 4
done
# index NAME AE PORT [OPTION...]
index() {
  "$bin/dicom-indexer" --coordinator "$endpoint" "/mnt/$1" -r -a "$2" -H localhost -p "$3" "${@:4}" >> "$work/index.log" 2>&1
}
index mr RESEARCH "$research" --wait || [ $? -eq 1 ] # 1: an instance failed, as intended
index ct CLINIC "$clinic"
most_is_sent() {
  curl -sf --noproxy '*' -m 5 "http://$page/api/sessions" > "$work/sessions.json" &&
    jq -e '[.sessions[].status | select((.pending | tonumber) > 0 and (.stored | tonumber) > 0.6 * (.total | tonumber))] | length == 1' \
      "$work/sessions.json" > /dev/null 2>> "$work/jq.log"
}
wait_for 120 "the second session" most_is_sent
# Chromium's sandbox does not work for root or in containers. It opens this page only.
HOME=$work chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-proxy-server \
  --hide-scrollbars --window-size=1200,1200 --screenshot="$work/page.png" "http://$page/" > "$work/chromium.log" 2>&1
mv "$work/page.png" "$here/status-page.png"

cd "$here"
for picture in dicom-sender.svg status-page.png; do
  [ "$(stat -c %s "$picture")" -lt 200000 ] || fail "'$picture': larger than 200 kB; record less"
done
ls -l dicom-sender.svg status-page.png >&2
