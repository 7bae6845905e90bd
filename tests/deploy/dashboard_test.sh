#!/usr/bin/env bash
# Runs a small migration with the real programs and a real Prometheus, and then runs every query of the dashboard:
# each query must be valid and return data, each metric that is named anywhere must exist, and no alert may fire
# except the one for the broken input file. Does not run Grafana.
#
#   tests/deploy/dashboard_test.sh BIN_DIR       exit status 77: cannot be run here
set -euo pipefail

if [ $# -ne 1 ] || [ ! -x "$1/dicom-coordinator" ]; then
  echo "usage: tests/deploy/dashboard_test.sh BIN_DIR      the folder with the programs" >&2
  exit 2
fi
bin=$(cd "$1" && pwd)
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dashboard=$top/deploy/grafana/dashboards/dicom_sender.json

for program in curl dump2dcm echoscu jq prometheus promtool storescp; do
  if ! command -v "$program" > /dev/null; then
    echo "skipped: $program is not installed"
    exit 77
  fi
done

work=$(mktemp -d)
failures=0
fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}
give_up() {
  echo "FAILED: $*"
  local log
  for log in "$work"/*.log; do
    echo "--- $(basename "$log")"
    tail -n 20 "$log"
  done
  exit 1
}

# --- processes: all started processes are ended by their ids

pids=()
# shellcheck disable=SC2317  # the trap calls it
clean_up() {
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill "${pids[i]}" 2> /dev/null || true; done
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do wait "${pids[i]}" 2> /dev/null || true; done
  rm -rf "$work"
}
trap clean_up EXIT

# start NAME COMMAND...: runs it in the background and writes its output to a log.
start() {
  local name=$1
  shift
  "$@" > "$work/$name.log" 2>&1 &
  pids+=($!)
}
# wait_for SECONDS WHAT COMMAND...: waits until the command succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || give_up "timed out: $what"
    sleep 0.1 # polling interval
  done
}

# Sets `port` to a free port. It is below the range that Linux uses for outgoing connections, and never the same
# twice.
port=
ports=" "
choose_port() {
  while :; do
    port=$((RANDOM % 20000 + 12000))
    [[ "$ports" != *" $port "* ]] || continue
    ports+="$port "
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || return 0
  done
}
choose_port; coordinator_port=$port
choose_port; coordinator=127.0.0.1:$port
choose_port; worker1=127.0.0.1:$port
choose_port; worker2=127.0.0.1:$port
choose_port; indexer1=127.0.0.1:$port
choose_port; indexer2=127.0.0.1:$port
choose_port; slow_port=$port
choose_port; fast_port=$port
choose_port; prometheus=127.0.0.1:$port

# --- checks of the repository alone

jq -e '.id == null and .uid == "dicom-sender" and .refresh == "10s"' "$dashboard" > /dev/null ||
  fail "the dashboard must have its uid and no id"
[ "$(jq '[.panels[].id] | length - (unique | length)' "$dashboard")" -eq 0 ] || fail "two panels have the same id"
while IFS= read -r title; do
  fail "panel '$title' has no description"
done < <(jq -r '.panels[] | select(.type != "row" and ((.description // "") == "")) | .title' "$dashboard")
while IFS= read -r uid; do
  grep -Eq "uid: $uid( |\$)" "$top/deploy/grafana/provisioning/datasources/prometheus.yml" ||
    fail "the dashboard uses data source '$uid', which is not provisioned"
done < <(jq -r '[.panels[], .panels[].targets[]?, .templating.list[]] | map(.datasource // empty | .uid) | unique[]' \
  "$dashboard")

# --- Prometheus as configured, but with these programs as targets and shorter intervals

# Alerts that would wait for minutes wait for 5 s, so that the test sees an alert that fires in a healthy run.
mkdir "$work/rules"
for rules in "$top"/deploy/prometheus/rules/*.yml; do
  sed 's/^\( *for:\) .*/\1 5s/' "$rules" > "$work/rules/$(basename "$rules")"
done
awk -v coordinator="$coordinator" -v worker="$worker1,$worker2" -v indexer="$indexer1,$indexer2" '
  BEGIN { targets["coordinator"] = coordinator; targets["worker"] = worker; targets["indexer"] = indexer }
  /^ *(scrape_interval|scrape_timeout|evaluation_interval):/ { sub(/: .*/, ": 1s") }
  /^  - job_name:/ {
    print
    printf "    static_configs: [{targets: [%s]}]\n", targets[$3]
    found = 0
    next
  }
  /^    [a-z]/ { found = /^    (static|[a-z]+_sd)_configs:/ } # service discovery and its nested lines
  /^[^ ]/ { found = 0 }
  !found
' "$top/deploy/prometheus/prometheus.yml" > "$work/prometheus.yml"
promtool check config "$work/prometheus.yml" > "$work/check.log" || give_up "the generated configuration is invalid"
for job in coordinator indexer worker; do
  grep -Eq "^  - job_name: *$job\$" "$work/prometheus.yml" || fail "prometheus.yml has no job '$job', which the rules refer to"
done

# --- the migration: one destination takes a second per instance, the other none

"$top/deploy/make-example-studies.sh" "$work/studies" > "$work/studies.log" 2>&1 || give_up "the example studies could not be created"
mkdir "$work/broken" "$work/slow" "$work/fast" "$work/reports"
head -c 5000 "$work/studies/study_1/image_1.dcm" > "$work/broken/truncated.dcm"

export TCP_NODELAY=1 # makes DCMTK's programs answer at once
start storescp_slow storescp -q --fork +xa --sleep-after 1 -aet SLOW -od "$work/slow" "$slow_port"
start storescp_fast storescp -q --fork +xa -aet FAST -od "$work/fast" "$fast_port"
endpoint=tcp://127.0.0.1:$coordinator_port
start coordinator "$bin/dicom-coordinator" --ledger "$work/ledger.db" --output-dir "$work/reports" --bind "$endpoint" \
  --metrics "$coordinator"
start worker1 "$bin/dicom-worker" --coordinator "$endpoint" --worker-id one -t 2 --metrics "$worker1"
start worker2 "$bin/dicom-worker" --coordinator "$endpoint" --worker-id two -t 2 --metrics "$worker2"
for address in "$coordinator" "$worker1" "$worker2"; do
  wait_for 20 "$address/readyz" curl -fsS "http://$address/readyz"
done
wait_for 20 "the slow destination" echoscu -q -aec SLOW 127.0.0.1 "$slow_port"
wait_for 20 "the fast destination" echoscu -q -aec FAST 127.0.0.1 "$fast_port"

start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
  --web.listen-address="$prometheus"
# ask PATH [CURL OPTION...]
ask() {
  local path=$1
  shift
  curl -sS -G "http://$prometheus/api/v1/$path" "$@"
}
# holds EXPRESSION: whether it has a sample now.
holds() {
  ask query --data-urlencode "query=$1" | jq -e '.data.result | length > 0' > /dev/null
}
# Prometheus cannot see an increase before its first sample of a counter, so it must sample each of them at 0. It
# needs some seconds to find its targets; until then, the alerts see no coordinator.
wait_for 20 "Prometheus has seen coordinator and workers" \
  holds 'sum(up{job=~"coordinator|worker"}) == 3 unless on () ALERTS'
begin=$(($(date +%s) + 1)) # the next full second

start indexer_slow "$bin/dicom-indexer" --coordinator "$endpoint" -i "$work/studies" -i "$work/broken" -r -a SLOW \
  -H 127.0.0.1 -p "$slow_port" --wait --metrics "$indexer1"
slow_pid=${pids[-1]}
start indexer_fast "$bin/dicom-indexer" --coordinator "$endpoint" -i "$work/studies" -r -a FAST \
  -H 127.0.0.1 -p "$fast_port" --wait --metrics "$indexer2"
fast_pid=${pids[-1]}

wait_for 20 "the coordinator knows the destination" \
  sh -c "curl -sS http://$coordinator/metrics | grep -q '^dicom_sender_destination_pending_instances{'"
for address in "$coordinator" "$worker1" "$indexer1"; do
  curl -sS "http://$address/metrics" > "$work/metrics.txt"
  promtool check metrics < "$work/metrics.txt" || fail "promtool reports invalid metrics of $address"
  # No label may have unbounded values: UIDs, paths, or sessions.
  ! grep -E '2\.25\.|1\.2\.840\.|[0-9a-f]{8}-[0-9a-f]{4}-|/' <(sed '/^#/d' "$work/metrics.txt") ||
    fail "a metric of $address contains a UID, a path, or a session"
done

status=0
wait "$fast_pid" || status=$?
[ "$status" -eq 0 ] || give_up "the indexer of the fast destination ended with $status"
wait "$slow_pid" || status=$?
[ "$status" -eq 1 ] || give_up "the indexer of the slow destination ended with $status, not 1 for the truncated file"
wait_for 20 "Prometheus has seen all outcomes" holds 'sum(dicom_sender_instances_total{outcome="stored"}) == 40'
wait_for 20 "Prometheus has seen the end of the sessions" \
  holds 'sum(dicom_sender_sessions) == 0 and sum(dicom_sender_destination_pending_instances) == 0'
wait_for 20 "the alert about the truncated file" \
  holds 'ALERTS{alertname="DicomSenderInstancesFailed",alertstate="firing",reason="defective_file"}'
end=$(date +%s)

# --- the rules

ask rules > "$work/rules.json"
loaded=$(jq '[.data.groups[].rules[]] | length' "$work/rules.json")
written=$(cat "$top"/deploy/prometheus/rules/*.yml | grep -Ec '^ *- (alert|record):')
[ "$loaded" -eq "$written" ] || fail "$loaded of $written rules are loaded"
while IFS= read -r rule; do
  fail "rule $rule"
done < <(jq -r '.data.groups[].rules[] | select(.health != "ok") | "\(.name): \(.lastError)"' "$work/rules.json")

# range EXPRESSION: prints its values during the migration as JSON.
range() {
  ask query_range --data-urlencode "query=$1" -d "start=$begin" -d "end=$end" -d step=1
}
while IFS= read -r alert; do
  [ "$alert" = DicomSenderInstancesFailed ] || fail "alert $alert fired during a healthy migration"
done < <(range 'ALERTS{alertstate="firing"}' | jq -r '[.data.result[].metric.alertname] | unique[]')

# --- the dashboard

# values METRIC LABEL
values() {
  ask "label/$2/values" --data-urlencode "match[]=$1" | jq -r '.data[]'
}
queries=0
# check_query PANEL DESTINATION WORKER EXPRESSION: replaces variables as Grafana does.
check_query() {
  local query=$4 answer
  query=${query//\$destination/"$2"}
  query=${query//\$worker/"$3"}
  query=${query//\$__rate_interval/5s}
  query=${query//\$__interval/5s}
  query=${query//\$__range/5m}
  queries=$((queries + 1))
  if [[ "$query" == *\$* ]]; then
    fail "panel '$1': unknown variable in $query"
    return
  fi
  answer=$(range "$query")
  if ! jq -e '.status == "success"' <<< "$answer" > /dev/null; then
    fail "panel '$1': $query: $(jq -r .error <<< "$answer")"
  elif ! jq -e '[.data.result[].values[][1] | select(. != "NaN")] | length > 0' <<< "$answer" > /dev/null; then
    fail "panel '$1' has no data: $query"
  fi
}

while IFS=$'\t' read -r name metric label; do
  mapfile -t found < <(values "$metric" "$label")
  [ ${#found[@]} -eq 2 ] || fail "variable '$name' has ${#found[@]} values, not 2: ${found[*]}"
done < <(jq -r '.templating.list[] | [.name, (.query.query | capture("^label_values\\((?<m>.*), *(?<l>[a-z_]+)\\)$") |
  .m, .l)] | @tsv' "$dashboard")
[ "$(jq '.templating.list | length' "$dashboard")" -eq 2 ] || fail "the dashboard has variables other than destination and worker"

# Runs once with all destinations and workers and once with one of each, whose dots Grafana escapes.
one_destination="SLOW:$slow_port@127\\\\.0\\\\.0\\\\.1"
one_worker=${worker1//./\\\\.}
while IFS=$'\t' read -r panel expression; do
  expression=$(base64 -d <<< "$expression")
  check_query "$panel" '.*' '.*' "$expression"
  check_query "$panel" "$one_destination" "$one_worker" "$expression"
done < <(jq -r '.panels[] | .title as $title | .targets[]? | [$title, (.expr | @base64)] | @tsv' "$dashboard")
[ "$queries" -gt 0 ] || fail "the dashboard has no queries"

# --- names of metrics in all files, except file names and prefixes that end in _

ask label/__name__/values | jq -r '.data[]' | sed 'p; s/_bucket$//' | sort -u > "$work/names.txt"
named=0
while IFS= read -r name; do
  named=$((named + 1))
  grep -qxF "$name" "$work/names.txt" ||
    fail "unknown metric $name in: $(cd "$top" && grep -lrF "$name" README.md docs deploy | tr '\n' ' ')"
done < <(cd "$top" && grep -hoP '(?<![\w./:])(?:[a-z_]+:)?dicom_sender_[a-z0-9_:]*[a-z0-9]\b(?!\.(?:db|json|log|ya?ml))' \
  README.md docs/*.md deploy/prometheus/rules/*.yml deploy/prometheus/prometheus.yml "$dashboard" | sort -u)

[ "$failures" -eq 0 ] || exit 1
echo "$queries queries of $(jq '[.panels[] | select(.type != "row")] | length' "$dashboard") panels have data," \
  "$named names are those of metrics, $loaded rules are loaded"
