#!/usr/bin/env bash
# Makes four small studies to try dicom-sender with: 20 files without patient data, one study in JPEG. Uses DCMTK.
#
#   deploy/make-example-studies.sh FOLDER        (the folder must not exist, or be empty)
set -euo pipefail

# UIDs derived from a UUID, PS3.5 B.2.
uid_root=2.25.319261171664387374443765638340056524163

if [ $# -ne 1 ] || [ "${1#-}" != "$1" ]; then
  echo "usage: deploy/make-example-studies.sh FOLDER" >&2
  exit 2
fi
mkdir -p "$1"
if [ -n "$(ls -A "$1")" ]; then
  echo "make-example-studies: '$1' is not empty; name another folder" >&2
  exit 2
fi
folder=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# 128 x 128 gray values.
for ((row = 0; row < 128; row++)); do
  printf '\%03o' {0..254..2} # a ramp from black to white
done > "$work/ramp.txt"
# shellcheck disable=SC2059  # the file holds nothing but octal escapes
printf "$(cat "$work/ramp.txt")" > "$work/ramp.raw"

# write_dump STUDY INSTANCE: writes dump2dcm's input. The patient's name and ID are required, but may be empty.
write_dump() {
  cat << DUMP
(0008,0005) CS [ISO_IR 100]
(0008,0016) UI [1.2.840.10008.5.1.4.1.1.7]
(0008,0018) UI [$uid_root.$1.1.$2]
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
(0020,000d) UI [$uid_root.$1]
(0020,000e) UI [$uid_root.$1.1]
(0020,0010) SH [EXAMPLE$1]
(0020,0011) IS [1]
(0020,0013) IS [$2]
(0028,0002) US 1
(0028,0004) CS [MONOCHROME2]
(0028,0010) US 128
(0028,0011) US 128
(0028,0100) US 8
(0028,0101) US 8
(0028,0102) US 7
(0028,0103) US 0
(7fe0,0010) OB =$work/ramp.raw
DUMP
}

# write_study STUDY INSTANCES
write_study() {
  local instance
  mkdir "$folder/study_$1"
  for ((instance = 1; instance <= $2; instance++)); do
    write_dump "$1" "$instance" > "$work/dump.txt"
    dump2dcm -q +te "$work/dump.txt" "$folder/study_$1/image_$instance.dcm"
  done
}

write_study 1 8
write_study 2 5
write_study 3 3

# The fourth study is like digital photographs: JPEG data that is sent unchanged.
dcmj2pnm -q +oj "$folder/study_1/image_1.dcm" "$work/ramp.jpg"
mkdir "$folder/study_4"
for ((instance = 1; instance <= 4; instance++)); do
  img2dcm -q "$work/ramp.jpg" "$folder/study_4/image_$instance.dcm" \
    -k "StudyInstanceUID=$uid_root.4" -k "SeriesInstanceUID=$uid_root.4.1" \
    -k "SOPInstanceUID=$uid_root.4.1.$instance" -k "StudyID=EXAMPLE4" -k "InstanceNumber=$instance"
done
