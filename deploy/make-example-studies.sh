#!/usr/bin/env bash
# Makes small studies, without any patient's data, to try dicom-sender with. Uses DCMTK and Perl.
#
#   make-example-studies.sh FOLDER                       four studies with 20 files, one study of them in JPEG
#   make-example-studies.sh FOLDER STUDIES INSTANCES     many studies with smaller images: thousands of files in seconds
#
# FOLDER must not exist, or be empty.
set -euo pipefail

# Unique identifiers below a UUID, PS3.5 B.2.
uid_root=2.25.319261171664387374443765638340056524163

fail() {
  echo "make-example-studies: $*" >&2
  exit 2
}

usage="usage: make-example-studies.sh FOLDER [STUDIES INSTANCES]"
if { [ $# -ne 1 ] && [ $# -ne 3 ]; } || [ "${1#-}" != "$1" ]; then fail "$usage"; fi
for number in "${@:2}"; do
  [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || fail "'$number': not a number of studies or instances; give one from 1 to 99999"
done
mkdir -p "$1"
[ -z "$(ls -A "$1")" ] || fail "'$1': not empty; give a new folder"
folder=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# write_template SIZE: a file with SIZE x SIZE gray values, a ramp from black to white. The patient's name and ID are
# empty. Numbers with nines stand for those of each file. They have the same length, so nothing else changes in a copy.
write_template() {
  perl -e 'print pack("C*", map { int($_ * 255 / ($ARGV[0] - 1)) } 0 .. $ARGV[0] - 1) x $ARGV[0]' "$1" > "$work/ramp.raw"
  cat > "$work/dump.txt" << DUMP
(0008,0005) CS [ISO_IR 100]
(0008,0016) UI [1.2.840.10008.5.1.4.1.1.7]
(0008,0018) UI [$uid_root.999999.1.999999]
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
(0020,000d) UI [$uid_root.999999]
(0020,000e) UI [$uid_root.999999.1]
(0020,0010) SH [STUDY999999]
(0020,0011) IS [1]
(0020,0013) IS [099999]
(0028,0002) US 1
(0028,0004) CS [MONOCHROME2]
(0028,0010) US $1
(0028,0011) US $1
(0028,0100) US 8
(0028,0101) US 8
(0028,0102) US 7
(0028,0103) US 0
(7fe0,0010) OB =$work/ramp.raw
DUMP
  dump2dcm -q +te "$work/dump.txt" "$work/template.dcm"
}

# write_studies FIRST DIGITS INSTANCES...: a study for each number of instances. FIRST is the number of the first study
# in its UIDs, and DIGITS how many digits the numbers in file names have at least. One process makes all files: starting
# one for each file would take most of the time.
write_studies() {
  # shellcheck disable=SC2016  # these are Perl's variables
  perl -e '
    use strict;
    my ($template, $folder, $root, $first, $digits, @studies) = @ARGV;
    open(my $in, "<:raw", $template) or die "make-example-studies: $template cannot be read: $!\n";
    my $bytes = do { local $/; <$in> };
    for my $study (1 .. @studies) {
      my $study_number = $first + $study - 1;
      my $dir = sprintf("%s/study_%0*d", $folder, $digits, $study);
      mkdir($dir) or die "make-example-studies: $dir cannot be created: $!\n";
      for my $instance (1 .. $studies[$study - 1]) {
        my $instance_number = 100000 + $instance;
        my $copy = $bytes;
        $copy =~ s/\Q$root\E\.999999\.1\.999999/$root.$study_number.1.$instance_number/g;
        $copy =~ s/\Q$root\E\.999999/$root.$study_number/g;
        $copy =~ s/STUDY999999/STUDY$study_number/;
        $copy =~ s/IS\x06\x00099999/sprintf("IS\x06\x00%06d", $instance)/e;
        my $file = sprintf("%s/image_%0*d.dcm", $dir, $digits, $instance);
        open(my $out, ">:raw", $file) or die "make-example-studies: $file cannot be created: $!\n";
        print $out $copy or die "make-example-studies: $file cannot be written: $!\n";
        close($out) or die "make-example-studies: $file cannot be written: $!\n";
      }
    }' "$work/template.dcm" "$folder" "$uid_root" "$@"
}

# The fourth example study is like digital photographs: JPEG data that is sent as it is.
write_jpeg_study() {
  local instance study_uid=$uid_root.200004
  dcmj2pnm -q +oj "$folder/study_1/image_1.dcm" "$work/ramp.jpg"
  mkdir "$folder/study_4"
  for instance in 1 2 3 4; do
    img2dcm -q "$work/ramp.jpg" "$folder/study_4/image_$instance.dcm" \
      -k "StudyInstanceUID=$study_uid" -k "SeriesInstanceUID=$study_uid.1" \
      -k "SOPInstanceUID=$study_uid.1.10000$instance" -k "StudyID=STUDY200004" -k "InstanceNumber=$instance"
  done
}

if [ $# -eq 1 ]; then
  write_template 128
  write_studies 200001 1 8 5 3
  write_jpeg_study
else
  write_template 64
  instances=()
  for ((study = 1; study <= $2; study++)); do instances+=("$3"); done
  write_studies 100001 5 "${instances[@]}"
fi
