#!/usr/bin/env bash
# Installs the packages that the tests need, builds, and runs all tests. Prints one line per test.
#
#   tests/run.sh [OPTION...]      passes the options to ctest, e.g. -R Scheduler, -LE e2e, --repeat until-fail:20
set -euo pipefail
[ -t 0 ] || exec < /dev/null # replaces a closed standard input as well

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/build/release
log=$top/build/tests.log

step() {
  echo "==> $* ($((SECONDS / 60)):$(printf '%02d' $((SECONDS % 60))))" >&2
}
quietly() {
  if ! "$@" > "$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "tests/run.sh: failed: $* (whole output: $log)" >&2
    exit 1
  fi
}

mkdir -p "$top/build"
step "Checking the packages"
"$top/deploy/install-dependencies.sh" tests
step "Building"
quietly cmake -S "$top" --preset release -DDICOM_SENDER_TESTS=ON
quietly cmake --build "$build" --parallel "$(nproc)"
step "Testing"
status=0
ctest --test-dir "$build" --parallel "$(nproc)" --output-on-failure --no-tests=error "$@" |
  sed -u '/^ *Start *[0-9]*: /d' || status=$?
step "Done, exit status $status"
exit "$status"
