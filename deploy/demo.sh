#!/usr/bin/env bash
# The whole thing moving, on this machine, in containers: coordinator, three workers, an Orthanc as the archive, some
# thousand small files of nobody, Prometheus and Grafana. Needs Docker with Compose.
#
#   deploy/demo.sh            builds what is missing, starts everything, follows the migration to its end
#   deploy/demo.sh down       stops and removes it all, except the images and the keys
#
# Exit status: that of the indexer, 0 if everything is stored; 70 if the demo could not be started.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"

# The demo has a project, and with it volumes, of its own; a site's storage and ledger must not get into it by .env.
project=dicom-sender-demo
export STORAGE=storage LEDGER=ledger REPORTS=reports COORDINATOR=tcp://coordinator:5555 WORKER_PATH_MAP=
workers=3

step() {
  echo "==> $*" >&2
}
fail() {
  echo "demo: $*" >&2
  exit 70
}
# The variables are of Compose, not of this script, so Compose is asked.
image_of() {
  compose config | awk -v service="$1" '/^[^ ]/ {section = $1} section == "services:" && /^  [^ ]/ {name = $1}
    name == service ":" && $1 == "image:" {print $2}'
}
# at SERVICE PORT: where a port of a container is on this machine
at() {
  compose port "$1" "$2" 2> /dev/null || echo "(not published)"
}

if [ $# -gt 1 ] || { [ $# -eq 1 ] && [ "$1" != down ]; }; then
  echo "usage: deploy/demo.sh [down]" >&2
  exit 2
fi
command -v docker > /dev/null || fail "there is no 'docker' command: install Docker"
answer=$(docker version --format '{{.Server.Version}}' 2>&1) || fail "Docker does not answer: ${answer##*$'\n'}"
if docker compose version > /dev/null 2>&1; then
  compose_command=(docker compose)
elif command -v docker-compose > /dev/null; then
  compose_command=(docker-compose)
else
  fail "there is no Compose: install Docker's compose plugin, or docker-compose"
fi
compose() {
  "${compose_command[@]}" -p "$project" --profile demo "$@"
}

if [ "${1:-}" = down ]; then
  compose down --volumes --remove-orphans
  exit
fi

log=$(mktemp)
# quietly COMMAND...: what it prints is shown only if it fails.
quietly() {
  "$@" > "$log" 2>&1 && return
  tail -n 40 "$log" >&2
  fail "failed: $*"
}

# What ends this script without a word of its own would look like an end in peace.
trap 'status=$?; rm -f "$log"; [ "$status" -eq 0 ] || echo "demo: ended with status $status" >&2' EXIT
step "Building the images (some minutes the first time)"
quietly compose build
step "Making keys"
deploy/make-keys.sh >&2 || fail "the keys could not be made, see above"

services=(coordinator worker prometheus orthanc demo-studies demo-indexer)
grafana=$(image_of grafana)
if docker image inspect "$grafana" > /dev/null 2>&1 || timeout 180 docker pull -q "$grafana" > /dev/null 2>&1; then
  services+=(grafana)
else
  step "Without Grafana: its image '$grafana' cannot be had here"
fi

step "Starting ${services[*]}"
quietly compose rm --stop --force demo-indexer # of an earlier demo
compose up -d --scale "worker=$workers" "${services[@]}" || fail "the containers could not be started, see above"

step "Migrating (Ctrl-C leaves it going)"
cat >&2 << WHERE
    status page   http://$(at coordinator 9464)/
    Prometheus    http://$(at prometheus 9090)/
    Orthanc       http://$(at orthanc 8042)/
WHERE
[[ " ${services[*]} " != *" grafana "* ]] || cat >&2 << WHERE
    Grafana       http://$(at grafana 3000)/     user admin, its password is in grafana_password beside the keys
WHERE
indexer=$(compose ps -a -q demo-indexer)
[ -n "$indexer" ] || fail "the indexer has not been started"
docker logs --follow "$indexer"
status=$(docker wait "$indexer")

if [ "$status" = 0 ]; then step "Everything is stored"; else step "The indexer ended with exit status $status"; fi
step "All of it goes on running; to end it: deploy/demo.sh down"
exit "$status"
