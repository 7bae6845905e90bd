#!/usr/bin/env bash
# Installs missing packages on Debian 12, builds, and runs dicom-sender. Skips what is already installed or built.
#
#   deploy/quickstart.sh                  starts a destination on this machine and sends it 20 example files
#   deploy/quickstart.sh OPTION...        runs dicom-sender with these options (--help shows them)
#
# Exit status: that of dicom-sender; 70 if it could not be installed or built.
set -euo pipefail
[ -t 0 ] || exec < /dev/null # replaces a closed standard input, too

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/build/release
example=$top/build/quickstart
program=$build/bin/dicom-sender

step() {
  echo "==> $*" >&2
}
fail() {
  echo "quickstart: $*" >&2
  exit 70
}

# quietly LOG COMMAND...: shows the output of the command only if it fails.
quietly() {
  local log=$1
  shift
  "$@" > "$log" 2>&1 && return
  tail -n 40 "$log" >&2
  fail "failed: $* (whole output: $log)"
}

build_sender() {
  mkdir -p "$build" "$example"
  # Keeps the configuration of tests/run.sh, which builds in the same folder.
  [ -e "$build/build.ninja" ] ||
    quietly "$example/configure.log" cmake -S "$top" --preset release -DDICOM_SENDER_TESTS=OFF
  quietly "$example/build.log" cmake --build "$build" --parallel "$(nproc)" --target dicom-sender
}

# Starts DCMTK's storescp on a free port of the loopback address, and sets destination_pid and port.
destination_pid=
start_destination() {
  local try
  mkdir -p "$example/received"
  for try in {1..20}; do
    port=$((RANDOM % 20000 + 12000)) # below the range from which Linux assigns ports to clients
    TCP_NODELAY=1 storescp -q --fork +xa -aet STORESCP -od "$example/received" "$port" \
      > "$example/storescp.log" 2>&1 &
    destination_pid=$!
    # storescp either answers, or exits because the port is in use.
    while kill -0 "$destination_pid" 2> /dev/null; do
      if echoscu -q -aec STORESCP 127.0.0.1 "$port" 2> /dev/null; then return; fi
      sleep 0.05
    done
  done
  fail "cannot start storescp after $try attempts: $(tail -n 1 "$example/storescp.log")"
}
# shellcheck disable=SC2317  # the trap calls it
stop_destination() {
  if [ -n "$destination_pid" ] && kill "$destination_pid" 2> /dev/null; then wait "$destination_pid" || true; fi
}

step "Checking the packages"
"$top/deploy/install-dependencies.sh" build || fail "the packages could not be installed"
if [ -x "$program" ]; then step "Checking the build"; else step "Building dicom-sender (some minutes)"; fi
build_sender

if [ $# -gt 0 ]; then
  step "Running dicom-sender $*"
  exec "$program" "$@"
fi

studies=$example/studies
if [ ! -e "$studies/complete" ]; then
  step "Making example studies in $studies"
  rm -rf "$studies"
  quietly "$example/studies.log" "$top/deploy/make-example-studies.sh" "$studies/dicom"
  touch "$studies/complete"
fi

trap stop_destination EXIT
step "Starting a destination (DCMTK's storescp) on this machine"
start_destination

output=$(mktemp -d "$example/run-XXXXXX")
command=("$program" -i "$studies/dicom" -r -t 2 -a STORESCP -H 127.0.0.1 -p "$port" --output-dir "$output")
step "Running ${command[*]}"
status=0
"${command[@]}" || status=$?

summary=$(find "$output" -name 'dicom_sender_summary_*.json' -print -quit)
if [ -n "$summary" ]; then
  step "The summary, $summary"
  if command -v jq > /dev/null; then jq . "$summary"; else cat "$summary"; fi
fi
exit "$status"
