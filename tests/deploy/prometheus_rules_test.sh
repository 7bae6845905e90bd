#!/usr/bin/env bash
# Checks that Prometheus' configuration and rules are valid, that the rules pass their tests, and that each alert has
# the text and the runbook that an operator needs.
#
#   tests/deploy/prometheus_rules_test.sh        exit status 77: cannot be run here
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top/deploy/prometheus"
runbook=docs/runbook.md

if ! command -v promtool > /dev/null; then
  echo "skipped: promtool is not installed (Debian's package prometheus)"
  exit 77
fi

failures=0
fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

promtool check config prometheus.yml || fail "prometheus.yml"
promtool check rules rules/*.yml || fail "a rules file"
promtool test rules rules/tests/*.yml || fail "a rules test"

# Prints the anchors of a Markdown file's headings.
anchors() {
  sed -n 's/^##* *//p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}
[ -e "$top/$runbook" ] || fail "$runbook is missing"
# alert NAME: prints its lines in the rules file.
alert() {
  awk -v name="$1" '$1 == "-" { inside = $2 == "alert:" && $3 == name } inside' rules/dicom_sender_alerts.yml
}

mapfile -t alerts < <(sed -n 's/^ *- alert: //p' rules/dicom_sender_alerts.yml)
[ ${#alerts[@]} -gt 0 ] || fail "no alerts were found"
for name in "${alerts[@]}"; do
  text=$(alert "$name")
  for key in for severity summary description runbook; do
    grep -q "^ *$key: *[^ ]" <<< "$text" || fail "$name has no '$key'"
  done
  anchor=alert-${name,,}
  grep -q "^ *runbook: $runbook#$anchor\$" <<< "$text" || fail "the runbook of $name is not $runbook#$anchor"
  if [ -e "$top/$runbook" ] && ! anchors "$top/$runbook" | grep -qx "$anchor"; then
    fail "$runbook has no heading for $name"
  fi
  # Each alert needs a test in which it fires and one in which it does not.
  grep -q "alertname: $name\$" rules/tests/dicom_sender_alerts_test.yml || fail "no test expects $name to fire"
  grep -Eq "alertname(: |=\")$name\"?.*exp_samples: \[\]|alertname: $name, exp_alerts: \[\]" \
    rules/tests/dicom_sender_alerts_test.yml || fail "no test expects $name not to fire"
done

[ "$failures" -eq 0 ] || exit 1
echo "${#alerts[@]} alerts are tested and have a runbook"
