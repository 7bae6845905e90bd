#!/usr/bin/env bash
# Installs the Debian 12 packages that dicom-sender needs. If all are installed, it does nothing and contacts no server.
#
#   deploy/install-dependencies.sh [run|build|tests|ci]      (default: build; each level includes those before it)
#
# run    the shared libraries of the built programs
# build  compilers, libraries, and DCMTK's programs (quickstart.sh uses one as the example destination)
# tests  GoogleTest, Orthanc, PostgreSQL's server, and small tools
# ci     clang with sanitizers, formatter, linters; also Chromium, Prometheus, and Docker (without them, some tests are
#        skipped)
set -euo pipefail

run=(libdcmtk17 libfmt9 libopenjp2-7 libpq5 libprometheus-cpp-core1.0 libprotobuf32 libspdlog1.10
     libsqlite3-0 libsystemd0 libtomlplusplus3 libutf8proc2 libuuid1 libzmq5 zlib1g)
build=(build-essential ccache cmake cppzmq-dev dcmtk libcli11-dev libdcmtk-dev libexpected-dev libfmt-dev
       libopenjp2-7-dev libpq-dev libprotobuf-dev libspdlog-dev libsqlite3-dev libsqlitecpp-dev libsystemd-dev
       libtomlplusplus-dev libutf8proc-dev libzmq3-dev ninja-build pkg-config prometheus-cpp-dev protobuf-compiler
       rapidjson-dev uuid-dev zlib1g-dev)
tests=(curl iproute2 jq libbenchmark-dev libgmock-dev libgtest-dev orthanc postgresql procps python3)
ci=(chromium chromium-driver clang-14 clang-format-14 clang-tidy-14 debootstrap docker-compose docker.io iptables
    libclang-rt-14-dev man-db prometheus shellcheck slirp4netns systemd systemd-container)

fail() {
  echo "install-dependencies: $*" >&2
  exit 2
}

[ $# -le 1 ] || fail "too many arguments; name one level: run, build, tests, or ci"
level=${1:-build}
case $level in
  run) wanted=("${run[@]}") ;;
  build) wanted=("${run[@]}" "${build[@]}") ;;
  tests) wanted=("${run[@]}" "${build[@]}" "${tests[@]}") ;;
  ci) wanted=("${run[@]}" "${build[@]}" "${tests[@]}" "${ci[@]}") ;;
  *) fail "unknown level '$level'; use run, build, tests, or ci" ;;
esac

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
  fail "not a Debian system; install the packages that this script lists in your system's way"
fi

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

missing=()
for package in "${wanted[@]}"; do
  is_installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo > /dev/null || fail "missing: ${missing[*]}; run this as root, or install sudo"
  sudo=(sudo)
  if [ ! -t 0 ]; then
    sudo=(sudo -n) # without a terminal, sudo cannot ask for a password
    sudo -n true 2> /dev/null || fail "missing: ${missing[*]}; sudo needs a password, so run this on a terminal, or as root"
  fi
fi
as_root() {
  "${sudo[@]}" "$@"
}

log=$(mktemp)
policy= # the file that keeps services from starting, while this script's own is in place
clean_up() {
  [ -z "$policy" ] || as_root rm -f "$policy"
  rm -f "$log"
}
trap clean_up EXIT

# Debian starts and enables a service when its package is installed. That is not wanted here: the tests start their own
# Orthanc, PostgreSQL, and Docker engine, on ports and in folders of their own. Services that were installed before are
# left alone.
# The units that each package starts by itself.
declare -A units=([orthanc]=orthanc.service [docker.io]="docker.service docker.socket" [containerd]=containerd.service
                  [postgresql-common]=postgresql.service [prometheus]=prometheus.service)
keep_services_off() {
  [ ! -e /usr/sbin/policy-rc.d ] || return 0  # the administrator or the container's image has decided
  policy=/usr/sbin/policy-rc.d
  # shellcheck disable=SC2016  # $1 is for the written script
  printf '%s\n' '#!/bin/sh' \
    'case "$1" in orthanc*|dcmtk*|docker*|containerd*|postgresql*|prometheus*) exit 101 ;; esac' 'exit 0' |
    as_root sh -c "cat > $policy && chmod 755 $policy"
}
# disable PACKAGE
disable() {
  local unit
  for unit in ${units[$1]}; do
    if command -v deb-systemd-helper > /dev/null; then
      # deb-systemd-helper does nothing unless it knows the package, as it does in the package's own scripts.
      as_root env DPKG_MAINTSCRIPT_PACKAGE="$1" deb-systemd-helper disable "$unit" > /dev/null 2>&1 || true
    fi
    if command -v update-rc.d > /dev/null; then
      as_root update-rc.d "${unit%.*}" disable > /dev/null 2>&1 || true
    fi
  done
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" \
    < /dev/null > "$log" 2>&1
}
stop_with_log() {
  tail -n 20 "$log" >&2
  fail "$*"
}

absent=() # packages with a service that are not installed yet
for package in "${!units[@]}"; do
  is_installed "$package" || absent+=("$package")
done

echo "Installing ${#missing[@]} packages (level '$level')" >&2
# A third-party source that does not answer must not stop this script. The installation fails if a package is missing.
apt update || { tail -n 3 "$log" >&2; echo "install-dependencies: some package lists could not be updated" >&2; }
keep_services_off
apt install -y --no-install-recommends "${missing[@]}" || stop_with_log "cannot install: ${missing[*]}"
for package in "${absent[@]}"; do
  ! is_installed "$package" || disable "$package"
done

for package in "${missing[@]}"; do
  is_installed "$package" || fail "$package is still missing; is this Debian 12?"
done
