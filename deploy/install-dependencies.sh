#!/usr/bin/env bash
# Installs what dicom-sender needs from the packages of Debian 12. Does nothing, and asks no server, when all is there.
#
#   deploy/install-dependencies.sh [run|build|tests|ci]      (default: build; each level includes those before it)
#
# run    what a built dicom-sender loads
# build  compilers, libraries, and DCMTK's programs (the example destination of quickstart.sh)
# tests  what the tests need: GoogleTest, Orthanc, PostgreSQL's server, small tools
# ci     sanitizers with clang, formatter, linters; Chromium, Prometheus and Docker, without which some tests are skipped
set -euo pipefail

run=(libdcmtk17 libfmt9 libopenjp2-7 libpq5 libprometheus-cpp-core1.0 libprotobuf32 libspdlog1.10
     libsqlite3-0 libsystemd0 libtomlplusplus3 libutf8proc2 libuuid1 libzmq5 zlib1g)
build=(build-essential ccache cmake cppzmq-dev dcmtk libcli11-dev libdcmtk-dev libexpected-dev libfmt-dev
       libopenjp2-7-dev libpq-dev libprotobuf-dev libspdlog-dev libsqlite3-dev libsqlitecpp-dev libsystemd-dev
       libtomlplusplus-dev libutf8proc-dev libzmq3-dev ninja-build pkg-config prometheus-cpp-dev protobuf-compiler
       rapidjson-dev uuid-dev zlib1g-dev)
tests=(curl iproute2 jq libbenchmark-dev libgmock-dev libgtest-dev orthanc postgresql procps)
ci=(chromium chromium-driver clang-14 clang-format-14 clang-tidy-14 debootstrap docker-compose docker.io iptables
    libclang-rt-14-dev man-db prometheus shellcheck slirp4netns systemd systemd-container)

fail() {
  echo "install-dependencies: $*" >&2
  exit 2
}

[ $# -le 1 ] || fail "one level at a time: run, build, tests or ci"
level=${1:-build}
case $level in
  run) wanted=("${run[@]}") ;;
  build) wanted=("${run[@]}" "${build[@]}") ;;
  tests) wanted=("${run[@]}" "${build[@]}" "${tests[@]}") ;;
  ci) wanted=("${run[@]}" "${build[@]}" "${tests[@]}" "${ci[@]}") ;;
  *) fail "unknown level '$level': use run, build, tests or ci" ;;
esac

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
  fail "this is no Debian system; install what this script names by the means of yours"
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
    sudo=(sudo -n) # nobody is there to type a password
    sudo -n true 2> /dev/null || fail "missing: ${missing[*]}; sudo asks for a password: run this on a terminal, or as root"
  fi
fi
as_root() {
  "${sudo[@]}" "$@"
}

log=$(mktemp)
policy= # the file that keeps services from starting, while we have put it there
clean_up() {
  [ -z "$policy" ] || as_root rm -f "$policy"
  rm -f "$log"
}
trap clean_up EXIT

# Debian starts and enables a service when its package is installed. Nobody asked for a server: the tests start
# their own Orthanc, PostgreSQL and Docker engine, on ports and in folders of their own. A service that was here before is
# left as it is.
# What a package starts by itself, by the package.
declare -A units=([orthanc]=orthanc.service [docker.io]="docker.service docker.socket" [containerd]=containerd.service
                  [postgresql-common]=postgresql.service [prometheus]=prometheus.service)
keep_services_off() {
  [ ! -e /usr/sbin/policy-rc.d ] || return 0  # the administrator (or the container's image) has decided already
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
      # It wants to hear for which package, as in the package's own scripts, or does nothing.
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

absent=() # packages with a service that were not here before
for package in "${!units[@]}"; do
  is_installed "$package" || absent+=("$package")
done

echo "Installing ${#missing[@]} packages (level '$level')" >&2
# A foreign source that does not answer must not stop us while Debian's own do; what counts is the installation.
apt update || { tail -n 3 "$log" >&2; echo "install-dependencies: the package lists are not all up to date" >&2; }
keep_services_off
apt install -y --no-install-recommends "${missing[@]}" || stop_with_log "cannot install: ${missing[*]}"
for package in "${absent[@]}"; do
  ! is_installed "$package" || disable "$package"
done

for package in "${missing[@]}"; do
  is_installed "$package" || fail "$package is still missing; is this Debian 12?"
done
