#!/usr/bin/env bash
# Tests the completions of the shells: options, commands, session ids, and worker names. Runs the real programs,
# except for the lists that a coordinator would provide.
#
#   tests/deploy/completion_test.sh FOLDER        of the built programs
#
# Exit status: 0; 1 if something is wrong, with one line per problem. A shell that is not installed is skipped and
# named.
set -euo pipefail

bin=$(cd "$1" && pwd)
package=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/deploy/package
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

session=5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a
mkdir "$work/bin" "$work/out"
: > "$work/out/dicom_sender_$session.db"
for program in dicom-sender dicom-indexer dicom-worker; do ln -s "$bin/$program" "$work/bin/"; done
cat > "$work/bin/dicom-ctl" << CTL
#!/bin/sh
case "\$*" in
  sessions*--coordinator\ tcp://other:1*) printf 'SESSION  STATE\nanother  sending\n' ;;
  sessions*) printf 'SESSION  STATE\n$session  sending\n' ;;
  workers*) printf 'WORKER  STATE\nnode7-1  idle\n' ;;
  *) exec "$bin/dicom-ctl" "\$@" ;;
esac
CTL
chmod +x "$work/bin/dicom-ctl"
export PATH=$work/bin:$PATH HOME=$work

# Each function prints what a shell offers for the last word of a line: sorted, on one line.
in_bash() { # WORD...
  # shellcheck disable=SC2016,SC2317  # for the bash inside
  bash -c '
    . "$1"; shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*"
    _dicom_sender "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
    [ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}"' bash "$package/bash-completion" "$@"
}
in_zsh() {
  # shellcheck disable=SC2016,SC2317  # for the zsh inside; its completion functions offer all, and zsh itself chooses
  zsh -fc '
    compadd() { if [[ $1 == -a ]]; then print -rl -- ${(P)2}; else print -rl -- $@; fi }
    _describe() { print -rl -- ${${(P)2}%%:*} }
    _files() { }
    file=$1; shift
    words=("$@") CURRENT=$#
    source $file' zsh "$package/zsh-completion" "$@" | grep -e "^${!#}" || true
}
in_fish() {
  # shellcheck disable=SC2016,SC2317  # for the fish inside
  fish --no-config -c 'source $argv[1]; complete -C "$argv[2]" | string replace -r "\t.*" ""; or true' \
    "$package/fish-completion" "$*"
}

offers() { # EXPECTED WORD...
  local expected=$1 offered
  shift
  offered=$("in_$shell" "$@" | sort | paste -sd ' ')
  [ "$offered" = "$expected" ] || {
    echo "$shell: completion of '$*' offers '$offered' instead of '$expected'"
    status=1
  }
}

for shell in bash zsh fish; do
  if ! command -v "$shell" > /dev/null; then
    echo "skipped: $shell is not installed"
    continue
  fi
  offers "requeue resume" dicom-ctl re
  offers "--status" dicom-ctl requeue --sta
  offers "--max-attempts --max-pdu --max-requests-per-association" dicom-sender --max
  offers "json table" dicom-ctl --format ""
  offers "$session" dicom-ctl show ""
  offers "$session" dicom-ctl --timeout 5 requeue 5e
  offers "another" dicom-ctl --coordinator tcp://other:1 cancel ""
  offers "node7-1" dicom-ctl drain ""
  offers "$session" dicom-indexer --session ""
  offers "$session" dicom-sender --output-dir "$work/out" --resume ""
  offers "" dicom-sender --output-dir "$work/bin" --resume ""
done
exit "$status"
