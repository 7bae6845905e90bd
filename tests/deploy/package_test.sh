#!/usr/bin/env bash
# Builds the Debian package, installs it in a separate Debian tree, checks its content, removes it, and checks what is
# left. If systemd-nspawn can boot that tree, runs its services there as in production.
#
#   tests/deploy/package_test.sh [PACKAGE.deb]        (default: the package that build/release produces)
#
# Exit status: 0; 1 if something is wrong; 77 if debootstrap is not installed or not permitted.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
programs=(dicom-sender dicom-indexer dicom-coordinator dicom-worker dicom-ctl dicom-ledger)
units=(dicom-coordinator dicom-worker)

skip() {
  echo "skipped: $*"
  exit 77
}
fail() {
  echo "package_test: $*" >&2
  exit 1
}
step() {
  echo "--> $* ($SECONDS s)"
}
[ "$(id -u)" -eq 0 ] || skip "only root can create a Debian tree for the installation"
command -v debootstrap > /dev/null || skip "debootstrap is not installed"

work=$(mktemp -d)
root=$work/root
container= # the process of systemd-nspawn
# shellcheck disable=SC2317  # the trap calls it
clean_up() {
  if [ -n "$container" ] && kill -KILL "$container" 2> /dev/null; then wait "$container" 2> /dev/null || true; fi
  ! mountpoint -q "$root/proc" || umount "$root/proc"
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT

# quietly COMMAND...: shows the command's output only if it fails.
quietly() {
  "$@" > "$work/log" 2>&1 || {
    tail -n 40 "$work/log" >&2
    fail "failed: $*"
  }
}
inside() {
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"
}

build_package() {
  [ -e "$top/build/release/build.ninja" ] || quietly cmake -S "$top" --preset release -DDICOM_SENDER_TESTS=OFF
  rm -f "$top"/build/release/dicom-sender_*.deb
  quietly cmake --build "$top/build/release" --target package
  package=$(find "$top/build/release" -maxdepth 1 -name 'dicom-sender_*.deb')
  [ -n "$package" ] || fail "no package was built"
}
# Installs a small Debian 12 from the package sources of this machine.
make_debian() {
  local mirror
  # shellcheck disable=SC2016  # apt's own variables
  mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')
  [ -n "$mirror" ] || fail "apt has no source for Debian 12 ('bookworm main'): add one in /etc/apt"
  quietly debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror"
  rm -f "$root/etc/apt/sources.list"
  cp -r /etc/apt/sources.list.d "$root/etc/apt/"
  [ ! -e /etc/apt/sources.list ] || cp /etc/apt/sources.list "$root/etc/apt/"
  cp -r /usr/share/keyrings/. "$root/usr/share/keyrings/"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  mount -t proc proc "$root/proc"
  quietly inside apt-get -qq update
}
install_package() {
  quietly inside apt-get -qq install --yes --no-install-recommends "/root/$(basename "$package")"
}

check_programs() {
  local program version
  version=$(dpkg-deb --field "$package" Version)
  for program in "${programs[@]}"; do
    [ "$(inside "$program" --version)" = "$program $version" ] ||
      fail "$program --version does not print $version: $(inside "$program" --version 2>&1)"
  done
}
check_manual_pages() {
  local program page said
  for program in "${programs[@]}"; do
    page=$root/usr/share/man/man1/$program.1.gz
    zcat "$page" | sed 's/\\-/-/g; s/\\f[BRI]//g' > "$work/roff"
    for text in "^\.SH NAME" "^$program - " "^\.SH OPTIONS" "^\.SH EXAMPLES" "^\.SH EXIT STATUS"; do
      grep -q "$text" "$work/roff" || fail "the manual page of $program has no $text"
    done
    diff <(inside "$program" --help | sed -n '/^Examples$/q; s/^  \(-[A-Za-z], \|    \)--\([a-z-]*\).*/\2/p') \
      <(sed -n '/^\.TP/{n; s/^\(-[A-Za-z], \)\{0,1\}--\([a-z-]*\).*/\2/p}' "$work/roff") ||
      fail "the manual page of $program and its help list different options"
    if command -v man > /dev/null; then
      said=$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l "$page" 2>&1 > "$work/page") || fail "man cannot show $page"
      [ -z "$said" ] || fail "man reports for $page: $said"
      grep -q '^EXIT STATUS' "$work/page" || fail "man shows no EXIT STATUS of $program"
    fi
  done
}
# complete_line WORD...: prints what bash would offer for the last word, sorted.
complete_line() {
  # shellcheck disable=SC2016  # for the bash inside
  inside bash -c '
    cd /etc/dicom-sender
    . "/usr/share/bash-completion/completions/$1"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    $(complete -p "$1" | sed "s/.*-F \([^ ]*\).*/\1/") "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
    [ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}" | sort | paste -sd " "' bash "$@"
}
offers() { # EXPECTED WORD...
  local expected=$1 offered
  shift
  offered=$(complete_line "$@")
  [ "$offered" = "$expected" ] || fail "completion of '$*' offers '$offered' instead of '$expected'"
}
check_completion() {
  local program
  for program in "${programs[@]}"; do
    offers "--config" "$program" --conf
    offers "--version" "$program" --vers
  done
  offers "requeue resume" dicom-ctl re
  offers "--status" dicom-ctl requeue --sta
  offers "json table" dicom-ctl --format ""
  offers "json" dicom-ctl sessions --format = j
  offers "json text" dicom-worker --log-format ""
  offers "after-scan as-found" dicom-sender --dispatch a
  offers "worker.env" dicom-worker --server-key w
  offers "clients coordinator.env worker.env" dicom-sender -i ""
  offers "clients" dicom-coordinator --client-keys ""
  offers "" dicom-worker --threads ""
  for program in "${programs[@]}"; do
    [ -s "$root/usr/share/fish/vendor_completions.d/$program.fish" ] || fail "the completion of $program for fish is missing"
  done
  head -n 1 "$root/usr/share/zsh/vendor-completions/_dicom-sender" | grep -q '^#compdef .*dicom-ctl' ||
    fail "the completion for zsh is missing"
}
check_units() {
  local unit file
  for unit in "${units[@]}"; do
    file=usr/lib/systemd/system/$unit.service
    [ -x "$root$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$root/$file")" ] || fail "$file starts a missing program"
    [ -z "$(find "$root/etc/systemd" -name "$unit.service")" ] || fail "$unit is enabled by the installation"
  done
}
check_files() {
  local file owned
  mapfile -t owned < <(inside dpkg -L dicom-sender)
  for file in "${owned[@]}"; do
    [ ! -L "$root$file" ] || [ -e "$root$file" ] || fail "$file is a dangling link"
    [ -d "$root$file" ] || [[ $file == *dicom-* ]] || fail "the name of $file does not contain 'dicom-'"
  done
  [ -s "$root/usr/share/doc/dicom-sender/copyright" ] || fail "the copyright file is missing"
  grep -q . "$root/usr/share/doc/dicom-sender/docs/protocol.md" || fail "the documents are missing"
}
left_over() {
  find "$root" -xdev \( -name '*dicom-sender*' -o -name '*dicom-coordinator*' -o -name '*dicom-worker*' \
    -o -name '*dicom-ctl*' -o -name '*dicom-indexer*' \) -not -name '*.deb' -not -path "$root/var/log/*" | sed "s#^$root##" | sort
}
check_settings_are_kept() {
  echo "#mine" >> "$root/etc/dicom-sender/worker.env"
  install_package
  quietly inside apt-get -qq install --yes --reinstall "/root/$(basename "$package")"
  [ "$(tail -n 1 "$root/etc/dicom-sender/worker.env")" = "#mine" ] || fail "an installation overwrites changed settings"
}
check_removal() {
  quietly inside dpkg --remove dicom-sender
  [ "$(left_over | grep -v '^/var/lib/dpkg')" = "/etc/dicom-sender" ] || fail "left after the removal: $(left_over)"
  grep -q "#mine" "$root/etc/dicom-sender/worker.env" || fail "a removal deletes changed settings"
  quietly inside dpkg --purge dicom-sender
  [ -z "$(left_over)" ] || fail "left after the purge: $(left_over)"
}
# Creates the folder as systemd does for the coordinator.
check_that_a_ledger_survives() {
  install_package
  mkdir -p "$root/var/lib/private/dicom-sender"
  ln -sfn private/dicom-sender "$root/var/lib/dicom-sender"
  echo proof > "$root/var/lib/private/dicom-sender/ledger.db"
  echo secret > "$root/etc/dicom-sender/coordinator.key_secret"
  quietly inside dpkg --purge dicom-sender
  grep -q "ledgers and summaries are kept in /var/lib/private/dicom-sender" "$work/log" || fail "the output does not report the kept ledger"
  grep -q "keys are kept in /etc/dicom-sender," "$work/log" || fail "the output does not report the kept keys"
  [ "$(cat "$root/var/lib/dicom-sender/ledger.db")" = proof ] || fail "a ledger was deleted"
  [ "$(cat "$root/etc/dicom-sender/coordinator.key_secret")" = secret ] || fail "a key was deleted"
  rm -r "$root/var/lib/private" "$root/var/lib/dicom-sender" "$root/etc/dicom-sender"
  mkdir -p "$root/var/lib/private/dicom-sender"
  ln -s private/dicom-sender "$root/var/lib/dicom-sender"
  install_package
  quietly inside dpkg --purge dicom-sender
  [ -z "$(left_over)" ] || fail "left after a purge with empty state: $(left_over)"
}

# Runs inside the container: without settings, with keys, and with a coordinator that hangs.
write_service_check() {
  cat > "$root/root/check" << 'CHECK'
#!/bin/bash
set -eEu
trap 'echo "failed: $BASH_COMMAND" > /root/result; journalctl --no-pager -n 60 -u "dicom-*" > /root/journal' ERR
eventually() {
  for ((try = 0; try < 300; try++)); do
    if "$@"; then return 0; fi
    sleep 0.1
  done
  return 1
}
worker_works() { dicom-ctl workers "$@" | grep -E "idle|sending" > /dev/null; }
result_is() { [ "$(systemctl show --property Result --value "$1")" = "$2" ]; }
uncomment() { sed -i "s/^#\\(DICOM_[A-Z]*_\\($2\\)=\\)/\\1/" "/etc/dicom-sender/$1.env"; }

systemctl start dicom-coordinator dicom-worker
eventually worker_works
dicom-ctl keygen coordinator --output-dir /etc/dicom-sender
dicom-ctl keygen worker --output-dir /etc/dicom-sender
cp /etc/dicom-sender/worker.key /etc/dicom-sender/clients/worker1.key
uncomment coordinator 'BIND\|SERVER_KEY\|CLIENT_KEYS'
uncomment worker 'SERVER_KEY\|CLIENT_KEY'
systemctl restart dicom-coordinator dicom-worker
eventually worker_works --server-key /etc/dicom-sender/coordinator.key --client-key /etc/dicom-sender/worker.key_secret
systemctl stop dicom-worker dicom-coordinator
result_is dicom-worker success
result_is dicom-coordinator success

mkdir -p /run/systemd/system/dicom-coordinator.service.d
printf '[Service]\nWatchdogSec=2\n' > /run/systemd/system/dicom-coordinator.service.d/hurry.conf
systemctl daemon-reload
systemctl start dicom-coordinator
kill -STOP "$(systemctl show --property MainPID --value dicom-coordinator)"
eventually result_is dicom-coordinator watchdog
systemctl stop dicom-coordinator
echo well > /root/result
CHECK
  chmod +x "$root/root/check"
  # The container shuts down after the check.
  printf '%s\n' '[Unit]' 'SuccessAction=poweroff-force' 'FailureAction=poweroff-force' '[Service]' 'Type=oneshot' \
    'ExecStart=/root/check' > "$root/etc/systemd/system/check.service"
  mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
  ln -sf ../check.service "$root/etc/systemd/system/multi-user.target.wants/check.service"
}
run_services() {
  if ! command -v systemd-nspawn > /dev/null; then
    echo "    the services are not run: systemd-nspawn is not installed"
    return
  fi
  quietly inside apt-get -qq install --yes --no-install-recommends dbus systemd systemd-sysv "/root/$(basename "$package")"
  quietly systemd-analyze verify --man=no --root="$root" dicom-coordinator.service dicom-worker.service
  umount "$root/proc"
  write_service_check
  timeout --kill-after=10 150 systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit \
    --private-network --resolv-conf=off --console=pipe > "$work/boot" 2>&1 < /dev/null &
  container=$!
  wait "$container" || true
  container=
  if [ ! -e "$root/root/result" ]; then
    # For example, in an unprivileged container.
    echo "    the services are not run: this Debian does not boot here: $(grep . "$work/boot" | tail -n 1)"
    return
  fi
  if [ "$(cat "$root/root/result")" != well ]; then
    tail -n 60 "$root/root/journal" >&2
    fail "the services, as systemd runs them: $(cat "$root/root/result")"
  fi
  mount -t proc proc "$root/proc"
  quietly inside dpkg --purge dicom-sender
  [ -s "$root/var/lib/private/dicom-sender/ledger.db" ] || fail "the coordinator's ledger is missing"
}

step "Building the package"
package=${1:-}
if [ -n "$package" ]; then package=$(readlink -f "$package"); else build_package; fi
step "Creating a Debian tree for $(basename "$package"), $(stat -c %s "$package") bytes"
make_debian
cp "$package" "$root/root/"
step "Installing"
install_package
step "Checking the installation"
check_files
check_programs
check_manual_pages
check_completion
check_units
step "Installing again, removing, purging"
check_settings_are_kept
check_removal
check_that_a_ledger_survives
step "Running the services"
run_services
step "Passed"
