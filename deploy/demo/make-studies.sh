#!/usr/bin/env bash
# Makes the demo's studies in FOLDER/studies with make-example-studies.sh, which must be in the folder of this script.
# Does nothing if the same studies are there already.
#
#   make-studies.sh FOLDER STUDIES INSTANCES        (the folder above FOLDER must hold nothing else)
set -euo pipefail

fail() {
  echo "make-studies: $*" >&2
  exit 2
}

[ $# -eq 3 ] || fail "usage: make-studies.sh FOLDER STUDIES INSTANCES"
# Before anything is removed.
for number in "$2" "$3"; do
  [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || fail "'$number': not a number of studies or instances; give one from 1 to 99999"
done
folder=$1
studies=$2
instances=$3
mark="$studies studies of $instances instances"

above=$(dirname "$folder")
[ -d "$above" ] || fail "'$above': not a folder; create it"
# The demo must not write to storage that is in use.
others=$(find "$above" -mindepth 1 -maxdepth 1 ! -path "$folder" ! -name lost+found -printf '%f\n' -quit)
[ -z "$others" ] || fail "'$above': holds other files, such as '$others'; give the demo an empty folder or volume"
if [ -e "$folder" ]; then
  [ -e "$folder/complete" ] || [ -e "$folder/incomplete" ] || fail "'$folder': not made by this script; remove it"
  if [ "$(cat "$folder/complete" 2> /dev/null)" = "$mark" ]; then
    echo "There are $mark already"
    exit 0
  fi
  rm -rf "$folder"
fi
[ -w "$above" ] || fail "'$above': cannot be written to; let user $(id -u) write there"
mkdir "$folder"
touch "$folder/incomplete"
"$(dirname "$0")/make-example-studies.sh" "$folder/studies" "$studies" "$instances"
echo "$mark" > "$folder/complete"
rm "$folder/incomplete"
echo "Made $mark in $folder/studies"
