#!/usr/bin/env bash
# Runs a whole migration on this machine, in containers: coordinator, three workers, Orthanc as the archive, some
# thousand small files without patient data, Prometheus, and Grafana. Needs Docker with Compose.
#
#   deploy/demo.sh            builds missing images, starts everything, and follows the migration to its end
#   deploy/demo.sh down       stops and removes everything except the images and the keys
#
# Exit status: that of the indexer, 0 if everything is stored; 70 if the demo could not be started.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"

# The demo has a project of its own, and so its own volumes. These variables keep real storage and a real ledger, which
# .env may name, out of the demo.
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
# image_of SERVICE: asks Compose, which also reads .env and its own defaults.
image_of() {
  compose config | awk -v service="$1" '/^[^ ]/ {section = $1} section == "services:" && /^  [^ ]/ {name = $1}
    name == service ":" && $1 == "image:" {print $2}'
}
# at SERVICE PORT: the address of a container's port on this machine
at() {
  compose port "$1" "$2" 2> /dev/null || echo "(not published)"
}

if [ $# -gt 1 ] || { [ $# -eq 1 ] && [ "$1" != down ]; }; then
  echo "usage: deploy/demo.sh [down]" >&2
  exit 2
fi
command -v docker > /dev/null || fail "docker: command not found; install Docker"
answer=$(docker version --format '{{.Server.Version}}' 2>&1) || fail "Docker does not answer: ${answer##*$'\n'}; start it, or join its group"
if docker compose version > /dev/null 2>&1; then
  compose_command=(docker compose)
elif command -v docker-compose > /dev/null; then
  compose_command=(docker-compose)
else
  fail "Compose: not found; install Docker's compose plugin, or docker-compose"
fi
compose() {
  "${compose_command[@]}" -p "$project" --profile demo "$@"
}

if [ "${1:-}" = down ]; then
  compose down --volumes --remove-orphans
  exit
fi

log=$(mktemp)
# quietly COMMAND...: shows the output of the command only if it fails.
quietly() {
  "$@" > "$log" 2>&1 && return
  tail -n 40 "$log" >&2
  fail "failed: $*"
}

# Without this message, an unexpected end would look like success.
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
  step "Continuing without Grafana: its image '$grafana' cannot be pulled"
fi

step "Starting ${services[*]}"
quietly compose rm --stop --force demo-indexer # left by an earlier demo
compose up -d --scale "worker=$workers" "${services[@]}" || fail "the containers could not be started, see above"

step "Migrating (Ctrl-C ends only this output)"
cat >&2 << WHERE
    status page   http://$(at coordinator 9464)/
    Prometheus    http://$(at prometheus 9090)/
    Orthanc       http://$(at orthanc 8042)/
WHERE
[[ " ${services[*]} " != *" grafana "* ]] || cat >&2 << WHERE
    Grafana       http://$(at grafana 3000)/     user admin, password in grafana_password beside the keys
WHERE
indexer=$(compose ps -a -q demo-indexer)
[ -n "$indexer" ] || fail "the indexer was not started; see 'docker compose -p $project ps -a'"
docker logs --follow "$indexer"
status=$(docker wait "$indexer")

if [ "$status" = 0 ]; then step "Everything is stored"; else step "The indexer ended with exit status $status"; fi
step "The containers keep running; to remove them: deploy/demo.sh down"
exit "$status"
