#!/usr/bin/env bash
# Installs the packages that the benchmarks need, builds a release, and runs one of them: dicom-sender compared with
# other senders, the speed of indexing, the throughput of one coordinator, or the throughput of the ledgers alone.
# Builds dicom-rs if cargo is installed. Writes tables to standard output and progress to standard error. Takes some
# minutes (half an hour for the comparison with other senders) and some GB of disk space. Do not use the machine in
# the meantime.
#
#   bench/run.sh [OPTION...]              e.g. --scale 0.1, --rounds 5, --set ct, --against storescp; see --help
#   bench/run.sh index [OPTION...]        e.g. --many-files 0; see --help
#   bench/run.sh coordinator [OPTION...]  e.g. --instances 10000000, --mix small, --ledger postgresql; see --help
#   bench/run.sh ledger [OPTION...]       e.g. --instances 5000000; see --help
set -euo pipefail
[ -t 0 ] || exec < /dev/null # replaces a closed standard input as well

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/build/release
log=$top/build/benchmark.log
program=send-benchmark
case "${1:-}" in
  coordinator | index | ledger)
    program=$1-benchmark
    shift
    ;;
esac

step() {
  echo "==> $* ($((SECONDS / 60)):$(printf '%02d' $((SECONDS % 60))))" >&2
}
quietly() {
  if ! "$@" > "$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "bench/run.sh: failed: $* (whole output: $log)" >&2
    exit 1
  fi
}

mkdir -p "$top/build"
step "Checking the packages"
"$top/deploy/install-dependencies.sh" tests
step "Building"
quietly cmake -S "$top" --preset release -DDICOM_SENDER_TESTS=ON
quietly cmake --build "$build" --parallel "$(nproc)" --target "$program"
if [ "$program" = send-benchmark ] && command -v cargo > /dev/null; then
  step "Building dicom-rs"
  cargo install --root "$top/build/dicom-rs" --locked --version 0.10.1 dicom-storescu > "$log" 2>&1 ||
    echo "bench/run.sh: dicom-rs cannot be built (see $log) and is skipped" >&2
fi
PATH=$top/build/dicom-rs/bin:$PATH
step "Measuring"
status=0
"$build/bin/$program" "$@" || status=$?
step "Done, exit status $status"
exit "$status"
