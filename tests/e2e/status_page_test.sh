#!/usr/bin/env bash
# Tests the status page as a user sees it, with the real coordinator, worker, and indexer and a headless browser that
# is controlled through the WebDriver protocol. Every name that others choose (folder, AE title, worker) is a hostile
# one.
#
#   status_page_test.sh BIN_DIR
#
# SCREENSHOTS_DIR: where to write screenshots of the page. Exit status 77: a required program is not installed.
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: status_page_test.sh BIN_DIR" >&2
  exit 2
fi
bin=$(cd "$1" && pwd)
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
for tool in chromium chromedriver curl jq storescp echoscu dump2dcm img2dcm; do
  if ! command -v "$tool" > /dev/null; then
    echo "skipped: $tool is not installed"
    exit 77
  fi
done

work=$(mktemp -d)
started=() # processes to end at exit
web_session=
driver=
coordinator_pid=

# shellcheck disable=SC2317  # the trap calls it
finish() {
  local status=$? pid log
  set +e
  if [ -n "$web_session" ]; then curl -s --noproxy '*' -m 10 -X DELETE "$driver/session/$web_session" > /dev/null; fi
  for pid in "${started[@]}"; do
    kill -CONT "$pid" 2> /dev/null # a stopped process would not handle the next signal
    kill "$pid" 2> /dev/null
  done
  for pid in "${started[@]}"; do wait "$pid" 2> /dev/null; done
  if [ "$status" -ne 0 ]; then
    for log in "$work"/*.log; do
      echo "---- ${log##*/}"
      tail -n 15 "$log"
    done >&2
  fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

step() { echo "==> $*"; }
fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: waits until the command succeeds. On a time-out, prints the content of the page.
wait_for() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ "$SECONDS" -ge "$end" ]; then
      if [ -n "$web_session" ]; then js 'return document.body.innerText' >&2 || true; fi
      fail "timed out: $what"
    fi
    sleep 0.1
  done
}

# end_process PID: waits until the process has ended.
end_process() {
  kill "$1"
  wait "$1" || true
}

# ---- The programs

# Chooses a port below the range that Linux uses for outgoing connections. The caller must check whether it is free.
random_port() { echo $((RANDOM % 20000 + 12000)); }
get() { curl -sS --noproxy '*' -m 5 "$@"; }
is_well() { get -o "$work/answer" -f "http://$page_address/healthz" 2> /dev/null; }
runs() { kill -0 "$1" 2> /dev/null; }

start_coordinator() {
  local try
  for try in {1..20}; do
    endpoint=tcp://127.0.0.1:$(random_port)
    page_address=127.0.0.1:$(random_port)
    "$bin/dicom-coordinator" --ledger "$work/ledger.db" --output-dir "$work/report" --bind "$endpoint" \
      --metrics "$page_address" > "$work/coordinator.log" 2>&1 &
    coordinator_pid=$!
    while runs "$coordinator_pid"; do
      if is_well; then
        started+=("$coordinator_pid")
        return
      fi
      sleep 0.05
    done
  done
  fail "the coordinator did not start in $try attempts"
}
start_destination() {
  local try pid
  mkdir "$work/received"
  for try in {1..20}; do
    destination_port=$(random_port)
    storescp -q +xa -od "$work/received" "$destination_port" > "$work/storescp.log" 2>&1 &
    pid=$!
    while runs "$pid"; do
      if echoscu -q 127.0.0.1 "$destination_port" 2> /dev/null; then
        started+=("$pid")
        return
      fi
      sleep 0.05
    done
  done
  fail "storescp did not start in $try attempts"
}
start_worker() {
  "$bin/dicom-worker" --coordinator "$endpoint" --worker-id "$worker" > "$work/worker.log" 2>&1 &
  worker_pid=$!
  started+=("$worker_pid")
}
# index FOLDER: prints the session id.
index() {
  "$bin/dicom-indexer" --coordinator "$endpoint" -i "$1" -r -a "$ae_title" -H 127.0.0.1 -p "$destination_port" \
    2>> "$work/indexer.log"
}

# ---- The browser

web() { # web METHOD PATH [JSON]: prints the value of the answer as JSON
  local answer
  answer=$(curl -sS --noproxy '*' -m 60 -X "$1" -H 'Content-Type: application/json' ${3+--data-binary "$3"} "$driver$2")
  if jq -e '.value | objects | has("error")' <<< "$answer" > /dev/null; then
    fail "the browser's answer to $1 $2: $(jq -c '[.value.error, .value.message]' <<< "$answer")"
  fi
  jq -c .value <<< "$answer"
}
browser() { web "$1" "/session/$web_session$2" "${@:3}"; }
chrome() { # chrome COMMAND PARAMETERS, of the DevTools protocol
  browser POST /goog/cdp/execute "$(jq -nc --arg cmd "$1" --argjson params "$2" '{$cmd, $params}')"
}
# js SCRIPT [ARGUMENT...]: prints the return value of the script. In it, text(element) is the element's visible text
# on one line, and shown(selector) returns the elements that are not hidden.
js() {
  local script='const text = (e) => e ? e.textContent.replace(/[\u202f\u00a0\s]+/g, " ").trim() : "";
    const shown = (s) => [...document.querySelectorAll(s)].filter((e) => e.checkVisibility());'
  browser POST /execute/sync \
    "$(jq -nc --arg script "$script $1" '{$script, args: $ARGS.positional}' --args "${@:2}")" | jq -r .
}
is_true() { [ "$(js "$@")" = true ]; }
check() { # check WHAT SCRIPT [ARGUMENT...]
  is_true "${@:2}" || fail "$1"
}

start_browser() {
  # The browser's files are in our folder and are removed with it.
  HOME=$work TMPDIR=$work chromedriver --port=0 > "$work/chromedriver.log" 2>&1 &
  started+=("$!")
  wait_for 30 "chromedriver's port" grep -q 'started successfully on port' "$work/chromedriver.log"
  driver=http://127.0.0.1:$(sed -n 's/.*started successfully on port \([0-9]*\).*/\1/p' "$work/chromedriver.log")
  # Runs without a sandbox, which is not available in containers and for root. The browser only loads our page.
  web_session=$(web POST /session '{"capabilities": {"alwaysMatch": {
    "goog:loggingPrefs": {"browser": "ALL"},
    "goog:chromeOptions": {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
      "--no-proxy-server", "--window-size=1280,900"]}}}}' | jq -r .sessionId)
}

screen() { # screen WIDTH HEIGHT IS_MOBILE light|dark
  chrome Emulation.setDeviceMetricsOverride \
    "{\"width\": $1, \"height\": $2, \"deviceScaleFactor\": 1, \"mobile\": $3}" > "$work/answer"
  chrome Emulation.setEmulatedMedia \
    "{\"features\": [{\"name\": \"prefers-color-scheme\", \"value\": \"$4\"}]}" > "$work/answer"
}
picture() { # picture NAME
  if [ -z "${SCREENSHOTS_DIR:-}" ]; then return; fi
  mkdir -p "$SCREENSHOTS_DIR"
  browser GET /screenshot | jq -r . | base64 -d > "$SCREENSHOTS_DIR/status_$1.png"
}

# Prints all browser errors since the last call, one JSON object per line: failed scripts, policy violations, requests
# without an answer.
complaints() { browser POST /se/log '{"type": "browser"}' | jq -c '.[] | {source, level, message}'; }
check_no_complaints() {
  local found
  found=$(complaints)
  [ -z "$found" ] || fail "the browser reports: $found"
}

check_nothing_injected() {
  check "an element came from a name" \
    'return document.querySelectorAll("body img, body script, body i, body b, body iframe").length === 0'
  check "a script came from a name" 'return window.injected === undefined'
}
# Does not use innerWidth: a phone zooms out if the page is too wide, so everything would seem to fit.
check_fits() { # check_fits WIDTH
  check "the page is wider than the screen: $(js 'return document.documentElement.scrollWidth') > $1" \
    'return document.documentElement.scrollWidth <= Number(arguments[0]) && innerWidth <= Number(arguments[0])' "$1"
}

# ---- Conditions in the page

# Prints the figures of the card of session $1, for example "Stored 19, Failed 1".
card_figures() {
  js 'const card = shown("#open article").find((e) => text(e).includes(arguments[0]));
    return card ? [...card.querySelectorAll("dl > div")].map((e) => text(e.children[0]) + " " + text(e.children[1]))
      .join(", ") : "no card"' "$1"
}
has_card() { # has_card SESSION STATE FIGURE...
  local figures figure
  is_true 'return shown("#open article").some((e) => text(e).includes(arguments[0]) &&
    text(e.querySelector(".chip")) === arguments[1])' "$1" "$2" || return 1
  figures=", $(card_figures "$1"), "
  for figure in "${@:3}"; do [[ $figures = *", $figure, "* ]] || return 1; done
}
# The row of session $1 among the ended sessions, with state $2, $3 stored, $4 failed, and $5 skipped.
has_ended_row() {
  is_true 'return shown("#ended tbody tr").some((e) => text(e.querySelector("code")) === arguments[0] &&
    text(e.querySelector(".chip")) === arguments[1] &&
    [...e.querySelectorAll("td.number")].slice(0, 3).map(text).join(" ") === arguments[2])' "$1" "$2" "$3 $4 $5"
}
has_row() { # has_row TABLE NAME STATE
  is_true 'return shown("#" + arguments[0] + " tbody tr").some((e) => text(e.querySelector("th span")) === arguments[1] &&
    text(e.querySelector(".chip")) === arguments[2])' "$@"
}
has_text() { # has_text SELECTOR TEXT
  is_true 'return shown(arguments[0]).some((e) => text(e).includes(arguments[1]))' "$@"
}
is_gone() { is_true 'return shown(arguments[0]).length === 0' "$1"; }
title_has() { is_true 'return document.title.includes(arguments[0])' "$1"; }

# ---- The test

hostile='<img src=x onerror="window.injected=1">'
ae_title='<b>"A&P'\'
worker='<i>worker</i>'
mkdir "$work/data"
"$top/deploy/make-example-studies.sh" "$work/data/$hostile"
broken="$work/data/$hostile/study_1/image_1.dcm"
truncate -s -100 "$broken"

step "An empty coordinator"
start_coordinator
start_destination
destination="$ae_title:$destination_port@127.0.0.1"
for file in status.css status.js; do
  get -f "http://$page_address/$file" | cmp - "$top/status_page/page/$file" ||
    fail "$file differs from the file in the repository"
done
start_browser
screen 1280 900 false light
browser POST /url "{\"url\": \"http://$page_address/\"}" > "$work/answer"
wait_for 20 "the advice without a session" has_text '#no-session' dicom-indexer
wait_for 5 "the advice without a worker" has_text '#no-worker' dicom-worker
# From here on the page is never reloaded.
js 'window.marker = "the same page"' > "$work/answer"

step "A session without a worker"
first=$(index "$work/data")
wait_for 20 "the session's card" has_card "$first" sending 'Stored 0' 'Failed 1' 'Skipped 0' 'Pending 19' 'Studies 4'
wait_for 5 "the warning" has_text '#problems li' 'no worker is connected'
wait_for 5 "the destination" has_row destinations "$destination" reachable
has_text '#open h3' "$destination" || fail "the card does not name the destination"
title_has '0% waiting for a worker' || fail "the title is $(js 'return document.title')"
has_text '#open .waits' 'a worker: none is connected' || fail "the card does not show what the session waits for"
picture waiting

step "A worker connects"
start_worker
wait_for 20 "the worker" has_row workers "$worker" idle
wait_for 30 "the end of the session" has_ended_row "$first" 'complete, some failed' 19 1 0
wait_for 5 "no open session" is_gone '#open article'
wait_for 5 "the end of the warning" is_gone '#problems li'

step "The failure as plain text"
wait_for 10 "the failure's path" has_text '#failures .path' "$broken"
check "the path is not text" 'const path = document.querySelector("#failures .path");
  return path.textContent.includes("<img") && path.childNodes.length === 1 && path.firstChild.nodeType === Node.TEXT_NODE'
has_text '#failures tbody tr' 'it ends inside' || fail "no reason is shown"
check_nothing_injected
check_no_complaints

step "Another session on the same page"
end_process "$worker_pid"
js 'getSelection().selectAllChildren(document.querySelector("#ended code"))' > "$work/answer"
second=$(index "$work/data/$hostile/study_2")
wait_for 20 "the second session's card" has_card "$second" sending 'Stored 0' 'Failed 0' 'Pending 5'
"$bin/dicom-ctl" --coordinator "$endpoint" pause "$second" >> "$work/ctl.log" 2>&1
wait_for 20 "the suspension" has_card "$second" suspended 'Pending 5'
has_ended_row "$first" 'complete, some failed' 19 1 0 || fail "the first session is no longer shown"
check "the page was loaded again" 'return window.marker === "the same page"'
check "what was selected is not any more" 'return getSelection().toString() === arguments[0]' "$first"
picture desktop

step "A phone"
check_fits 1280
for scheme in light dark; do
  screen 390 844 true "$scheme"
  check_fits 390
  picture "phone_$scheme"
done
screen 320 568 true light
check_fits 320
screen 1280 900 false dark
check_fits 1280
picture desktop_dark
check_nothing_injected
check_no_complaints

step "A paused coordinator"
kill -STOP "$coordinator_pid"
wait_for 40 "the notice" has_text '#notice.shown' 'does not answer. Showing the state as of'
has_ended_row "$first" 'complete, some failed' 19 1 0 || fail "the last known state is no longer shown"
wait_for 5 "the title" title_has 'no answer'
picture stale
kill -CONT "$coordinator_pid"
wait_for 60 "the end of the notice" is_gone '#notice.shown'
check "the page was loaded again" 'return window.marker === "the same page"'

step "Without the script"
first_response=$(get -f "http://$page_address/")
for part in "$first" "$second" suspended '>95%<' '&lt;img'; do
  [[ $first_response = *"$part"* ]] || fail "the first response does not have $part"
done
chrome Network.enable '{}' > "$work/answer"
chrome Network.setBlockedURLs '{"urls": ["*/status.js"]}' > "$work/answer"
browser POST /refresh '{}' > "$work/answer"
for part in "$first" "$second" suspended "$destination" "$broken"; do
  has_text '#snapshot td' "$part" || fail "without its script the page does not show $part"
done
is_gone '#main' || fail "without its script the page shows the element that the script fills"
check_nothing_injected
check_fits 1280
picture without_script
complaints > "$work/answer" # discards the complaint about the script that was not loaded
chrome Network.setBlockedURLs '{"urls": []}' > "$work/answer"
browser POST /refresh '{}' > "$work/answer"
wait_for 5 "the page with its script" has_card "$second" suspended 'Pending 5'
is_gone '#snapshot' || fail "the tables of the first response are still shown"
check_no_complaints

step "A coordinator that has ended"
kill -KILL "$coordinator_pid"
wait "$coordinator_pid" 2> /dev/null || true
wait_for 40 "the notice" has_text '#notice.shown' 'does not answer. Showing the state as of'
wait_for 20 "the age of the state" is_true 'return /\d+ s ago/.test(text(document.querySelector("#notice-age")))'
others=$(complaints | jq -c 'select(.source != "network")')
[ -z "$others" ] || fail "the browser reports: $others"
check_nothing_injected

step "Passed"
