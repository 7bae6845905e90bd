#!/usr/bin/env bash
# Tests the containers: builds the images, starts docker-compose.yml with three workers, Prometheus, and Orthanc as
# the archive, migrates some thousand instances, kills a worker and the coordinator and stops another worker in the
# middle, and checks that everything arrives and that every program reports it. Then does the same with the ledger in
# PostgreSQL and two coordinators (profile 'ha'), of which the leader is killed and not restarted. Does not start
# Grafana, whose image is not Debian's.
#
#   tests/deploy/compose_test.sh        exit status 77: cannot be run here, and why
#
# Uses a running Docker engine. Otherwise, as root, it starts one of its own and stops it at the end. Leaves nothing
# behind except the images (tagged 'test') in an engine that was already running. Takes some minutes.
set -euo pipefail
exec < /dev/null

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/compose-test.XXXXXX")
project=dicom-sender-test-$$
image=dicom-sender:test
base=debian:bookworm-slim
studies=1000
instances=30
workers=3

# --- helpers

say() {
  printf '%4d s  %s\n' "$SECONDS" "$*"
}
skip() {
  echo "SKIPPED: $*"
  exit 77
}
fail() {
  echo "FAILED: $*"
  exit 1
}
# wait_for SECONDS WHAT COMMAND...: waits until the command succeeds.
wait_for() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "timed out: $what"
    sleep 0.2
  done
}
# quietly NAME COMMAND...: shows the command's output only if it fails.
quietly() {
  local log=$work/$1.log
  shift
  "$@" > "$log" 2>&1 && return
  tail -n 40 "$log"
  fail "$*"
}

engine= # the process of our own engine
network= # the process that connects it to the network
inside=() # the prefix for commands that must reach the engine's ports
stack=no # whether containers may be running
# shellcheck disable=SC2317  # the trap calls it
clean_up() {
  local status=$?
  set +e
  if [ $stack = yes ]; then
    if [ $status -ne 0 ]; then
      compose ps -a
      compose logs --no-color --tail 15
    fi
    compose --profile demo --profile tools --profile ha down --volumes --remove-orphans --timeout 20 > "$work/down.log" 2>&1 || {
      cat "$work/down.log"
      status=1
    }
  fi
  if [ -n "$engine" ]; then
    kill "$engine"
    wait "$engine"
  fi
  [ -z "$network" ] || kill "$network" 2> /dev/null
  # Uses one container for all files, because some belong to the containers' user.
  rm -rf "$work" || status=1
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- a Docker engine

engine_answers() {
  docker info > /dev/null 2>&1
}
engine_answers_or_has_ended() {
  engine_answers || ! kill -0 "$engine" 2> /dev/null
}
# An engine that does not touch this machine: its mounts, bridges, and firewall rules are in separate namespaces,
# which end with it. slirp4netns, an unprivileged process, connects it to the outside.
start_engine() {
  local program
  [ "$(id -u)" -eq 0 ] || skip "no Docker engine answers, and only root can start one"
  for program in dockerd containerd debootstrap iptables slirp4netns; do
    command -v "$program" > /dev/null || skip "no Docker engine answers, and '$program' is not installed, so none can be started"
  done
  [ -e /dev/net/tun ] || skip "no Docker engine answers, and without /dev/net/tun none can be started here"
  export DOCKER_HOST=unix://$work/docker.sock
  unset DOCKER_CONTEXT
  # If the control groups are not mounted (in some containers and small virtual machines), mounts them for the engine.
  # shellcheck disable=SC2016  # these are variables of the inner shell
  unshare --mount --net sh -c '
    set -e
    if [ ! -e /sys/fs/cgroup/cgroup.controllers ] && [ ! -e /sys/fs/cgroup/memory ]; then
      mount -t tmpfs -o mode=755 cgroups /sys/fs/cgroup
      for group in $(awk "!/^#/ && \$4 == 1 {print \$1}" /proc/cgroups); do
        mkdir "/sys/fs/cgroup/$group"
        mount -t cgroup -o "$group" cgroup "/sys/fs/cgroup/$group"
      done
    fi
    exec dockerd --host "$DOCKER_HOST" --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" --dns 10.0.2.3
  ' sh "$work" > "$work/engine.log" 2>&1 &
  engine=$!
  wait_for 60 "the Docker engine answers" engine_answers_or_has_ended
  engine_answers || {
    engine=
    skip "no Docker engine answers, and none can be started here: $(grep -v 'level=info' "$work/engine.log" | tail -n 1)"
  }
  slirp4netns --configure --disable-host-loopback --mtu 65520 "$engine" tap0 > "$work/network.log" 2>&1 &
  network=$!
  inside=(nsenter --net --target "$engine")
  wait_for 20 "the engine's network is connected" has_way_out
  say "Started a separate Docker engine"
}
has_way_out() {
  [ -n "$("${inside[@]}" ip route show default)" ]
}

command -v docker > /dev/null || skip "'docker' is not installed"
case ${DOCKER_HOST:-} in
  "" | unix://*) ;;
  *) skip "the Docker engine at $DOCKER_HOST is on another machine and cannot access our files" ;;
esac
if docker compose version > /dev/null 2>&1; then
  compose_command=(docker compose)
elif command -v docker-compose > /dev/null; then
  compose_command=(docker-compose)
else
  skip "Docker Compose is not installed"
fi
engine_answers || start_engine

# --- the base image

# Debian's archive as this machine reaches it, one "URI RELEASE" per line.
archives() {
  # shellcheck disable=SC2016  # these are for apt
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' |
    awk '$2 ~ /^bookworm/ && !seen[$0]++'
}
make_base() {
  local archive release root=$work/root
  local -a mirror
  mapfile -t mirror < <(archives | sed -n 's/ bookworm$//p' | head -n 1)
  debootstrap --variant=minbase bookworm "$root" "${mirror[@]}" || return
  rm -f "$root/etc/apt/sources.list"
  while read -r archive release; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $release main"
  done < <(archives) > "$root/etc/apt/sources.list.d/debian.list"
  apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-Valid-Until) ' > "$root/etc/apt/apt.conf.d/90test" || true
  tar -C "$root" --exclude './var/cache/apt/*' --exclude './var/lib/apt/lists/*' --exclude './usr/share/doc/*' \
    --exclude './usr/share/man/*' --exclude './usr/share/locale/*' --exclude './usr/share/info/*' \
    --exclude './dev/*' -c . | docker import - "$base" || return
  rm -rf "$root"
}
if ! docker image inspect "$base" > /dev/null 2>&1 && ! timeout 120 docker pull -q "$base" > /dev/null 2>&1; then
  base=dicom-sender-test-base:bookworm # cannot be mistaken for the official image
  if ! docker image inspect "$base" > /dev/null 2>&1; then
    [ "$(id -u)" -eq 0 ] || skip "the image 'debian:bookworm-slim' cannot be pulled, and only root can create one"
    command -v debootstrap > /dev/null || skip "the image 'debian:bookworm-slim' cannot be pulled, and debootstrap is not installed"
    say "Creating a base image with debootstrap"
    quietly base make_base
  fi
fi

# --- the images

say "Building the images on $base"
for name in "$image:deploy/Dockerfile" dicom-sender-prometheus:test:deploy/prometheus/Dockerfile \
  dicom-sender-demo:test:deploy/demo/Dockerfile dicom-sender-postgresql:test:deploy/postgresql/Dockerfile; do
  quietly build docker build --build-arg BASE="$base" -t "${name%:*}" -f "$top/${name##*:}" "$top"
done
size=$(docker image inspect -f '{{.Size}}' "$image")
say "Built; $image has $((size / 1000000)) MB, $(($(docker image inspect -f '{{.Size}}' "$base") / 1000000)) MB of them its base"

version=$(docker run --rm --network none "$image" dicom-sender --version)
[ "$version" = "dicom-sender $(docker image inspect -f '{{index .Config.Labels "org.opencontainers.image.version"}}' "$image")" ] ||
  fail "the image's version label is not '$version'"
for program in dicom-coordinator dicom-worker dicom-indexer dicom-ctl; do
  [ "$(docker run --rm --network none "$image" "$program" --version)" = "$program ${version#* }" ] || fail "$program --version"
done

docker run --rm --network none "$image" sh -c 'test -s /usr/share/libdcmtk*/dicom.dic' || fail "the image has no data dictionary"

# --- the stack

# Ignores settings of this machine, both in .env and in the environment.
mapfile -t settings < <(sed -n 's/^#\{0,1\}\([A-Z_]*\)=.*/\1/p' "$top/.env.example")
[ ${#settings[@]} -gt 20 ] || fail ".env.example has only ${#settings[@]} settings"
unset "${settings[@]}"
# Ports without a number are free ones, to avoid conflicts.
cat > "$work/env" << ENV
IMAGE=$image
PROMETHEUS_IMAGE=dicom-sender-prometheus:test
DEMO_IMAGE=dicom-sender-demo:test
POSTGRESQL_IMAGE=dicom-sender-postgresql:test
KEYS_DIR=$work/keys
COORDINATOR_PUBLISH=127.0.0.1:
STATUS_PUBLISH=127.0.0.1:
PROMETHEUS_PUBLISH=127.0.0.1:
ORTHANC_PUBLISH=127.0.0.1:
DEMO_STUDIES=$studies
DEMO_INSTANCES=$instances
WORKER_THREADS=2
ENV
compose() {
  "${compose_command[@]}" -p "$project" -f "$top/docker-compose.yml" --project-directory "$top" --env-file "$work/env" "$@"
}
# container SERVICE [NUMBER]: prints its id, running or not.
container() {
  docker ps -a -q --no-trunc --filter "label=com.docker.compose.project=$project" \
    --filter "label=com.docker.compose.service=$1" --filter "label=com.docker.compose.container-number=${2:-1}" \
    --filter label=com.docker.compose.oneoff=False
}
state() {
  docker inspect -f "{{.State.$2}}" "$1"
}
is_healthy() {
  [ "$(docker inspect -f '{{if .State.Health}}{{.State.Health.Status}}{{end}}' "$1")" = healthy ]
}

if compose config -q > "$work/config.log" 2>&1 || ! grep -q STORAGE "$work/config.log"; then
  fail "Compose does not require STORAGE: $(cat "$work/config.log")"
fi
echo STORAGE=storage >> "$work/env"
quietly config compose --profile demo --profile tools --profile ha config -q
# The example file contains every option with its default value.
while IFS='=' read -r name value; do
  grep -qF "\${$name:-$value}" "$top/docker-compose.yml" || fail ".env.example: docker-compose.yml has no \${$name:-$value}"
done < <(sed -n 's/^#\([A-Z_]*=.*\)/\1/p' "$top/.env.example")
# shellcheck disable=SC2016  # the file's variables are meant
while read -r name; do
  [[ " ${settings[*]} " == *" $name "* ]] || fail "docker-compose.yml: $name is not in .env.example"
done < <(grep -o '\${[A-Z_]*' "$top/docker-compose.yml" | tr -d '${' | sort -u)

quietly keys env IMAGE="$image" "$top/deploy/make-keys.sh" "$work/keys"
before=$(cat "$work"/keys/*.key)
quietly keys env IMAGE="$image" "$top/deploy/make-keys.sh" "$work/keys"
[ "$(cat "$work"/keys/*.key)" = "$before" ] || fail "make-keys.sh has changed existing keys"

say "Starting the stack"
stack=yes
services=(coordinator worker prometheus orthanc demo-studies)
quietly up compose --profile demo up -d --no-build --scale worker=$workers "${services[@]}"
for service in coordinator prometheus orthanc; do
  wait_for 60 "$service is healthy" is_healthy "$(container "$service")"
done
for ((i = 1; i <= workers; i++)); do
  wait_for 60 "worker $i is healthy" is_healthy "$(container worker "$i")"
done

for id in $(compose ps -q); do
  name=$(docker inspect -f '{{index .Config.Labels "com.docker.compose.service"}}' "$id")
  [ "$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Privileged}} {{.HostConfig.CapDrop}}' "$id")" = "true false [ALL]" ] ||
    fail "$name is not confined as expected"
  [ "$(docker inspect -f '{{.HostConfig.Memory}}' "$id")" -gt 0 ] || fail "$name may take all memory"
  [ "$(state "$id" Running)" = true ] || continue
  [ "$(docker exec "$id" id -u)" -ne 0 ] || fail "$name runs as root"
  [ "$(docker exec "$id" awk '/^CapEff/ {print $2}' /proc/1/status)" = 0000000000000000 ] || fail "$name has capabilities"
  [ "$(docker exec "$id" awk '/^NoNewPrivs/ {print $2}' /proc/1/status)" = 1 ] || fail "$name may get new privileges"
  ! docker exec "$id" touch /usr/there 2> /dev/null || fail "$name can write to its root file system"
done
! docker exec "$(container worker)" touch /data/there 2> /dev/null || fail "a worker can write to the storage"

# Clients without a key are refused.
status=0
docker run --rm --network "${project}_default" "$image" dicom-ctl --coordinator tcp://coordinator:5555 --timeout 2 sessions \
  > "$work/unknown.log" 2>&1 || status=$?
[ $status -eq 3 ] || fail "a client without a key got exit status $status, not 3: $(cat "$work/unknown.log")"

# --- the migration

# ask SERVICE PORT PATH: prints the answer.
ask() {
  "${inside[@]}" curl -sS --max-time 10 "http://$(compose port "$1" "$2")$3"
}
stored() {
  ask orthanc 8042 /statistics | jq .CountInstances
}
total=$((studies * instances))
has_stored() {
  local now
  now=$(stored)
  [ "$now" -ge "$1" ]
}
sending() {
  wait_for 120 "$1 instances have arrived" has_stored "$1"
  [ "$(state "$(container demo-indexer)" Running)" = true ] || fail "the migration ended before it could be disturbed"
}
# kill_hard ID PROGRAM: simulates a crash. Docker restarts a container whose process crashed, but not one that `docker
# kill` has ended. If the process cannot be reached, uses `docker kill` and starts the container by hand.
kill_hard() {
  local pid restarts
  pid=$(state "$1" Pid)
  restarts=$(docker inspect -f '{{.RestartCount}}' "$1")
  if [ "$(id -u)" -eq 0 ] && [ "$(tr '\0' '\n' < "/proc/$pid/cmdline" 2> /dev/null | head -n 1)" = "$2" ]; then
    kill -9 "$pid"
    wait_for 30 "$2 is restarted by its restart policy" has_restarted "$1" "$restarts"
  else
    docker kill "$1" > /dev/null
    docker start "$1" > /dev/null
  fi
}
has_restarted() {
  [ "$(docker inspect -f '{{.RestartCount}}' "$1")" -gt "$2" ] && [ "$(state "$1" Running)" = true ]
}

say "Migrating $total instances in $studies studies"
begin=$SECONDS
quietly up compose --profile demo up -d --no-build --no-recreate demo-indexer
indexer=$(container demo-indexer)
sending $((total / 10))
kill_hard "$(container worker 1)" dicom-worker
say "Killed worker 1"
sending $((total * 3 / 10))
kill_hard "$(container coordinator)" dicom-coordinator
say "Killed the coordinator"
sending $((total * 5 / 10))
docker stop -t 60 "$(container worker 2)" > /dev/null
[ "$(state "$(container worker 2)" ExitCode)" = 0 ] || fail "a stopped worker ended with $(state "$(container worker 2)" ExitCode), not drained"
[ "$(state "$(container demo-indexer)" Running)" = true ] || fail "the migration ended before a worker had drained"
say "Stopped worker 2: drained"
docker start "$(container worker 2)" > /dev/null

status=$(timeout 300 docker wait "$indexer") || fail "the migration did not end in time"
docker logs "$indexer" > "$work/session" 2> "$work/progress"
[ "$status" = 0 ] || {
  tail -n 20 "$work/progress"
  fail "the indexer ended with exit status $status"
}
session=$(cat "$work/session")
say "Migrated, in $((SECONDS - begin)) s"

[ "$(stored)" = $total ] || fail "Orthanc has $(stored) instances, not $total"
[ "$(ask orthanc 8042 /statistics | jq .CountStudies)" = $studies ] || fail "Orthanc has not $studies studies"
compose --profile tools run --rm -T ctl summary "$session" --format json > "$work/summary.json" 2> "$work/ctl.log" || {
  cat "$work/ctl.log"
  fail "dicom-ctl summary"
}
jq -e --argjson total $total --argjson workers $workers '.total_files == $total and .successful_transfers == $total
  and .failed_transfers == 0 and .skipped == 0 and .pending == 0 and .interrupted == false and .workers >= $workers' \
  "$work/summary.json" > /dev/null || fail "unexpected summary: $(jq -c 'del(.studies, .studies_processed)' "$work/summary.json")"
say "The summary: $(jq -c '{successful_transfers, failed_transfers, retries, resends, associations, workers}' "$work/summary.json")"
# The report is also a file.
compose exec -T coordinator cat "/var/lib/dicom-sender/reports/dicom_sender_summary_$session.json" |
  cmp -s - "$work/summary.json" || fail "the summary in the volume differs from that of dicom-ctl"

# Runs the service for users once more with one study that is already stored.
quietly indexer compose --profile tools run --rm -T --use-aliases indexer -i /data/demo/studies/study_00001 -r \
  -a ORTHANC -H orthanc -p 4242 --wait
[ "$(stored)" = $total ] || fail "sending a study again changed the number of instances"

# --- what Prometheus says

for ((i = 1; i <= workers; i++)); do
  wait_for 60 "worker $i is healthy at the end" is_healthy "$(container worker "$i")"
done
up_targets() {
  ask prometheus 9090 /api/v1/targets | jq "[.data.activeTargets[] | select(.labels.job == \"$1\" and .health == \"up\")] | length"
}
targets_are() {
  [ "$(ask prometheus 9090 /api/v1/targets | jq '[.data.activeTargets[] | select(.health != "up")] | length')" = 0 ] &&
    [ "$(up_targets coordinator)" = 1 ] && [ "$(up_targets worker)" = $workers ] && [ "$(up_targets indexer)" = 0 ]
}
wait_for 60 "Prometheus reaches the coordinator, $workers workers and nothing else" targets_are
ask prometheus 9090 /api/v1/rules > "$work/rules.json"
rules=$(jq '[.data.groups[].rules[]] | length' "$work/rules.json")
jq -e '[.data.groups[].rules[]] | length > 0 and all(.health == "ok")' "$work/rules.json" > /dev/null ||
  fail "Prometheus' rules: $(jq -c '[.data.groups[].rules[] | select(.health != "ok")]' "$work/rules.json")"
# Every alert needs some minutes before it fires, and all faults of this test are shorter. Pending alerts are fine.
none_fires() {
  ask prometheus 9090 /api/v1/alerts > "$work/alerts.json"
  jq -e 'all(.data.alerts[]; .state != "firing")' "$work/alerts.json" > /dev/null
}
wait_for 120 "no alert fires" none_fires
say "Prometheus: coordinator and $workers workers up, $rules rules, none firing, pending: $(jq -c '[.data.alerts[].labels.alertname]' "$work/alerts.json")"

take_down() {
  local left
  quietly down compose --profile demo --profile tools --profile ha down --volumes --remove-orphans
  stack=no
  left=$(docker ps -a -q --filter "label=com.docker.compose.project=$project"
    docker volume ls -q --filter "label=com.docker.compose.project=$project"
    docker network ls -q --filter "label=com.docker.compose.project=$project")
  [ -z "$left" ] || fail "left behind: $left"
}
say "Removing the stack"
take_down

# --- two coordinators

studies=300
total=$((studies * instances))
cat >> "$work/env" << ENV
COORDINATOR_LEDGER=postgresql://dicom_sender@postgresql/dicom_sender
COORDINATOR=tcp://coordinator:5555,tcp://coordinator-standby:5555
LEADER_TIMEOUT=1
STANDBY_PUBLISH=127.0.0.1:
STANDBY_STATUS_PUBLISH=127.0.0.1:
DEMO_STUDIES=$studies
ENV
# leads SERVICE: whether it is the leader.
leads() {
  ask "$1" 9464 /metrics 2> /dev/null | grep -q '^dicom_sender_leader 1$'
}
has_leader() {
  leads coordinator || leads coordinator-standby
}

say "Starting two coordinators on PostgreSQL"
stack=yes
quietly up compose --profile demo --profile ha up -d --no-build postgresql
wait_for 60 "PostgreSQL is healthy" is_healthy "$(container postgresql)"
quietly up compose --profile demo --profile ha up -d --no-build --scale worker=2 \
  coordinator coordinator-standby worker orthanc demo-studies
for service in coordinator coordinator-standby orthanc worker; do
  wait_for 60 "$service is healthy" is_healthy "$(container $service)"
done
wait_for 30 "a leader is elected" has_leader
leader=coordinator
standby=coordinator-standby
leads $leader || { leader=coordinator-standby standby=coordinator; }
! leads $standby || fail "both coordinators are leaders"

say "Migrating $total instances in $studies studies with leader $leader"
quietly up compose --profile demo --profile ha up -d --no-build --no-recreate demo-indexer
indexer=$(container demo-indexer)
sending $((total * 3 / 10))
docker kill "$(container $leader)" > /dev/null
wait_for 30 "$standby is the leader" leads $standby
say "Killed $leader; $standby is the leader"
sending $((total * 6 / 10))
docker kill "$(container postgresql)" > /dev/null
docker start "$(container postgresql)" > /dev/null
say "Killed and restarted PostgreSQL"

status=$(timeout 300 docker wait "$indexer") || fail "the migration did not end in time"
session=$(docker logs "$indexer" 2> "$work/progress")
[ "$status" = 0 ] || {
  tail -n 20 "$work/progress"
  fail "the indexer ended with exit status $status"
}
[ "$(state "$(container $leader)" Running)" = false ] || fail "$leader is running although it was not restarted"
[ "$(stored)" = $total ] || fail "Orthanc has $(stored) instances, not $total"
compose --profile tools run --rm --no-deps -T ctl summary "$session" --format json > "$work/summary.json" 2> "$work/ctl.log" || {
  cat "$work/ctl.log"
  fail "dicom-ctl summary"
}
jq -e --argjson total $total '.total_files == $total and .successful_transfers == $total and .pending == 0' \
  "$work/summary.json" > /dev/null || fail "unexpected summary: $(jq -c 'del(.studies, .studies_processed)' "$work/summary.json")"
# Uses the read-only user, with the password that the coordinators use.
found=$(docker exec "$(container postgresql)" psql -h 127.0.0.1 -U dicom_sender -d dicom_sender -Atc \
  "select count(*) from instances where state = 'stored'") || fail "psql"
[ "$found" = $total ] || fail "the view 'instances' has $found stored instances, not $total"
say "The summary: $(jq -c '{successful_transfers, failed_transfers, retries, resends, associations, workers}' "$work/summary.json")"
say "Removing the stack"
take_down
say "PASSED"
