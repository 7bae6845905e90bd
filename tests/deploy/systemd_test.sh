#!/usr/bin/env bash
# Checks the units in deploy/systemd/ and their settings files: systemd accepts them, they are confined as expected,
# they name exactly the options of the programs, and the programs start with them.
#
#   tests/deploy/systemd_test.sh FOLDER        of the built programs
#
# Exit status: 0; 1 if something is wrong, with one line per problem; 77 if systemd-analyze is not installed.
set -euo pipefail

exposure_max=15 # tenths, as in `systemd-analyze security`: 0 is fully confined, 100 is unconfined

if ! command -v systemd-analyze > /dev/null; then
  echo "skipped: systemd-analyze is not installed"
  exit 77
fi
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$(cd "$1" && pwd)
units=$top/deploy/systemd
work=$(mktemp -d)
process= # the program under test, if it is running
# shellcheck disable=SC2317  # the trap calls it
clean_up() {
  [ -z "$process" ] || kill -KILL "$process" 2> /dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

status=0
wrong() {
  echo "$*"
  status=1
}

# systemd reads this tree instead of the machine's.
root=$work/root
mkdir -p "$root"/usr/bin "$root"/etc/systemd/system
cp "$units"/*.service "$units"/*.timer "$root/etc/systemd/system/"
for target in multi-user network-online remote-fs sysinit basic shutdown timers time-set time-sync; do
  printf '[Unit]\nDescription=%s\n' "$target" > "$root/etc/systemd/system/$target.target"
done

verify() { # UNIT
  local said
  said=$(systemd-analyze verify --man=no --root="$root" "$1" 2>&1) || wrong "$1: systemd-analyze verify fails"
  [ -z "$said" ] || wrong "$1: $said"
}
check_exposure() { # UNIT
  systemd-analyze security --offline=yes --threshold="$exposure_max" "$units/$1.service" > "$work/security" 2>&1 ||
    wrong "$1: not confined enough: $(tail -n 1 "$work/security")"
  echo "$1: $(tail -n 1 "$work/security")"
}

# Prints the long options of a program that a service can have.
options_of() { # PROGRAM
  "$bin/$1" --help | sed -n '/^Examples$/q; s/^  \(-[A-Za-z], \|    \)--\([a-z-]*\).*/\2/p' |
    grep -vxE 'help|version|config|log-file' | sort
}
options_in() { # FILE
  sed -n 's/^#\{0,1\}DICOM_[A-Z]*_\([A-Z_]*\)=.*/\1/p' "$1" | tr 'A-Z_' 'a-z-' | sort
}
check_settings() { # PROGRAM FILE
  diff <(options_of "$1") <(options_in "$units/$2") ||
    wrong "$2: its options ('>') differ from those of $1 ('<')"
}

# Converts a time of the unit file, with the single unit that systemd and our programs use ("2min", "1m", "30s", or
# "30"), to seconds.
seconds() {
  case $1 in *min) echo $((${1%min} * 60)) ;; *m) echo $((${1%m} * 60)) ;; *) echo "${1%s}" ;; esac
}
setting() { # UNIT NAME
  sed -n "s/^$2=//p" "$units/$1.service"
}
check_time_to_stop() {
  local grace stop
  grace=$("$bin/dicom-worker" --help | tr '\n' ' ' | sed -n 's/.*--grace-period.*(default: \([0-9]*[ms]*\)).*--log-file.*/\1/p')
  grace=$(seconds "$grace")
  stop=$(seconds "$(setting dicom-worker TimeoutStopSec)")
  [ "$stop" -ge $((grace + 20)) ] || wrong "dicom-worker: TimeoutStopSec=$stop is too short for --grace-period $grace"
}

# Runs the program with the unit's settings and every line of the settings file, except for paths that a test must
# replace.
run_with_settings() { # PROGRAM FILE TEXT
  local settings try ended=0
  mapfile -t settings < <({
    sed -n 's/^Environment=//p' "$units/$1.service"
    # Leaves out the settings for a ledger in PostgreSQL, which this machine may not have.
    sed -n '/LEADER_TIMEOUT/d; s/^#\{0,1\}\(DICOM_[A-Z_]*=\)/\1/p' "$units/$2"
  } | sed -e "s#/run/credentials/$1.service\|/etc/dicom-sender\|/var/lib/dicom-sender\|/mnt/nas#$work/site#" \
    -e "s#127\.0\.0\.1:\|\*:#$address:#")
  : > "$work/$1.log"
  env -i "${settings[@]}" "$bin/$1" 2> "$work/$1.log" &
  process=$!
  for ((try = 0; try < 1200; try++)); do
    ! grep -q "$3" "$work/$1.log" || break
    kill -0 "$process" 2> /dev/null || break
    sleep 0.05
  done
  grep -q "$3" "$work/$1.log" || wrong "$1 does not start with $2: $(tail -n 1 "$work/$1.log")"
  kill -TERM "$process" 2> /dev/null || true
  wait "$process" || ended=$?
  process=
  [ "$ended" -eq 0 ] || wrong "$1 ends with status $ended: $(tail -n 1 "$work/$1.log")"
}

# Runs the unit's command with the settings in the example file, and checks how systemd treats each exit status.
check_sender() {
  local unit=$root/etc/systemd/system/dicom-sender@.service command status_of
  cp "$bin/dicom-sender" "$root/usr/bin/"
  mkdir -p "$root/bin" "$root/etc/dicom-sender" "$work/images" "$work/state"
  cp "$(command -v sh)" "$root/bin/sh"
  verify dicom-sender@night.service
  verify dicom-sender@night.timer
  check_exposure dicom-sender@
  sed "s#/data/images#$work/images#" "$units/migration.toml" > "$root/etc/dicom-sender/night.toml"
  command=$(sed -n 's/^ExecStart=//p' "$unit" | sed "s/%i/night/g; s#/usr/bin#$bin#; s#/etc#$root/etc#")
  # shellcheck disable=SC2086  # the words of the command
  (cd "$work/state" && ! $command --dry-run > "$work/dry" 2>&1) || wrong "dicom-sender: succeeds with nothing to send"
  grep -q "no DICOM instance in $work/images" "$work/dry" || wrong "migration.toml: $(cat "$work/dry")"
  for status_of in 0 1 3 4 74; do
    rm -f "$work/state/finished"
    (cd "$work/state" && EXIT_STATUS=$status_of sh -c "$(sed -n "s/^ExecStopPost=.*-c '\(.*\)'/\1/p" "$unit")")
    case $status_of in 0 | 1) [ -e "$work/state/finished" ] ;; *) [ ! -e "$work/state/finished" ] ;; esac ||
      wrong "dicom-sender@: wrong 'finished' mark after exit status $status_of"
  done
}

address=127.$((RANDOM % 200 + 20)).$((RANDOM % 256)).$((RANDOM % 254 + 1)) # a loopback address, on which every port is free
mkdir -p "$work/site/clients"
"$bin/dicom-ctl" keygen coordinator --output-dir "$work/site" > /dev/null
"$bin/dicom-ctl" keygen worker --output-dir "$work/site" > /dev/null
for program in coordinator worker; do
  cp "$bin/dicom-$program" "$root/usr/bin/"
  verify "dicom-$program.service"
  check_exposure "dicom-$program"
  check_settings "dicom-$program" "$program.env"
done
check_sender
check_time_to_stop
run_with_settings dicom-coordinator coordinator.env 'Listening on tcp://.* with keys'
run_with_settings dicom-worker worker.env 'starts with 1 threads'
exit "$status"
