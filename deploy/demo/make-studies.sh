#!/usr/bin/env bash
# Makes thousands of small files without patient data in seconds: one with DCMTK, the others as copies of it with other
# UIDs. Writes them to FOLDER/studies. Does nothing if the same studies already exist.
#
#   make-studies.sh FOLDER STUDIES INSTANCES        (the folder above FOLDER must contain nothing else)
set -euo pipefail

# UIDs derived from a UUID, PS3.5 B.2.
uid_root=2.25.32926483644955186683836634946205313450

fail() {
  echo "make-studies: $*" >&2
  exit 2
}

[ $# -eq 3 ] || fail "usage: make-studies.sh FOLDER STUDIES INSTANCES"
folder=$1
for number in "$2" "$3"; do
  [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || fail "'$number': not a number of studies or instances; give one from 1 to 99999"
done
studies=$2
instances=$3
mark="$studies studies of $instances instances"

above=$(dirname "$folder")
[ -d "$above" ] || fail "'$above' is not a folder; create it"
# The demo must not write into real storage by mistake.
others=$(find "$above" -mindepth 1 -maxdepth 1 ! -path "$folder" ! -name lost+found -printf '%f\n' -quit)
[ -z "$others" ] || fail "'$above' contains other files, such as '$others'; give the demo an empty folder or volume"
if [ -e "$folder" ]; then
  [ -e "$folder/complete" ] || [ -e "$folder/incomplete" ] || fail "'$folder' was not made by this script; remove it"
  if [ "$(cat "$folder/complete" 2> /dev/null)" = "$mark" ]; then
    echo "$folder/studies already contains $mark"
    exit 0
  fi
  rm -rf "$folder"
fi
[ -w "$above" ] || fail "'$above' is not writable; let user $(id -u) write there"
mkdir "$folder"
touch "$folder/incomplete"
mkdir "$folder/studies"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
head -c 4096 /dev/zero | tr '\0' '\200' > "$work/grey.raw"
# The patient's name and ID are required, but may be empty. The numbers that consist of nines are placeholders for those
# of each file. They have the same length, so nothing else in the file changes.
cat > "$work/dump.txt" << DUMP
(0008,0005) CS [ISO_IR 100]
(0008,0016) UI [1.2.840.10008.5.1.4.1.1.7]
(0008,0018) UI [$uid_root.199999.199999]
(0008,0020) DA [20240910]
(0008,0030) TM [153015]
(0008,0050) SH
(0008,0060) CS [OT]
(0008,0064) CS [WSD]
(0008,0090) PN
(0010,0010) PN
(0010,0020) LO
(0010,0030) DA
(0010,0040) CS
(0020,000d) UI [$uid_root.199999]
(0020,000e) UI [$uid_root.199999.1]
(0020,0010) SH [DEMO199999]
(0020,0011) IS [1]
(0020,0013) IS [099999]
(0028,0002) US 1
(0028,0004) CS [MONOCHROME2]
(0028,0010) US 64
(0028,0011) US 64
(0028,0100) US 8
(0028,0101) US 8
(0028,0102) US 7
(0028,0103) US 0
(7fe0,0010) OB =$work/grey.raw
DUMP
dump2dcm -q +te "$work/dump.txt" "$work/template.dcm"

# One process writes all files, because starting one per file would take most of the time.
# shellcheck disable=SC2016  # these are Perl's variables
perl -e '
  use strict;
  my ($template, $folder, $root, $studies, $instances) = @ARGV;
  open(my $in, "<:raw", $template) or die "make-studies: $template cannot be read: $!\n";
  my $bytes = do { local $/; <$in> };
  for my $study (1 .. $studies) {
    my $study_number = 100000 + $study;
    my $dir = sprintf("%s/study_%05d", $folder, $study);
    mkdir($dir) or die "make-studies: $dir cannot be created: $!\n";
    for my $instance (1 .. $instances) {
      my $instance_number = 100000 + $instance;
      my $copy = $bytes;
      $copy =~ s/\Q$root\E\.199999\.199999/$root.$study_number.$instance_number/g;
      $copy =~ s/\Q$root\E\.199999/$root.$study_number/g;
      $copy =~ s/DEMO199999/DEMO$study_number/;
      $copy =~ s/IS\x06\x00099999/sprintf("IS\x06\x00%06d", $instance)/e;
      my $file = sprintf("%s/image_%05d.dcm", $dir, $instance);
      open(my $out, ">:raw", $file) or die "make-studies: $file cannot be created: $!\n";
      print $out $copy or die "make-studies: $file cannot be written: $!\n";
      close($out) or die "make-studies: $file cannot be written: $!\n";
    }
  }' "$work/template.dcm" "$folder/studies" "$uid_root" "$studies" "$instances"
echo "$mark" > "$folder/complete"
rm "$folder/incomplete"
echo "Made $mark in $folder/studies"
