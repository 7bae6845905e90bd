#!/usr/bin/env bash
# Writes the manual page of one of the programs to standard output. Generates it from --help.
#
#   deploy/package/man-page.sh PROGRAM
set -euo pipefail

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
  echo "usage: deploy/package/man-page.sh PROGRAM        a built program, such as build/release/bin/dicom-ctl" >&2
  exit 2
fi
version=$("$1" --version)

"$1" --help | awk -v name="$(basename "$1")" -v version="${version##* }" '
  # Escapes what roff would interpret.
  function plain(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    return text ~ /^[.\x27]/ ? "\\&" text : text
  }
  function trimmed(text) { sub(/^ +/, "", text); return text }
  # Formats "-t, --threads N": the names in bold, the value in italics.
  function tag(text,    words, count, i, out) {
    count = split(trimmed(text), words, " ")
    for (i = 1; i <= count; i++) {
      out = out (i > 1 ? " " : "")
      if (words[i] ~ /^[A-Z:=]+$/) out = out "\\fI" plain(words[i]) "\\fR"
      else if (words[i] ~ /,$/) out = out "\\fB" plain(substr(words[i], 1, length(words[i]) - 1)) "\\fR,"
      else out = out "\\fB" plain(words[i]) "\\fR"
    }
    return out
  }
  function heading(title) { print ".SH " toupper(title) }
  function verbatim(from, to,    i) {
    print ".nf"
    for (i = from; i <= to; i++) print plain(substr(line[i], 3))
    print ".fi"
  }
  # Collects the text above the options: prose, and the lines that show the usage.
  function introduction(from, to,    i, sentence) {
    for (i = from; i <= to && line[i] !~ /^  /; i++) sentence = sentence (i > from ? " " : "") line[i]
    if (sentence != "") {
      about = about (about == "" ? "" : "\n.PP\n") plain(sentence)
      if (purpose == "") purpose = sentence
    } else {
      for (i = from; i <= to; i++) usage = usage (usage == "" ? "" : "\n.br\n") plain(trimmed(line[i]))
    }
  }
  function begin_page() {
    sub(/[.:].*/, "", purpose)
    printf ".TH %s 1 \"\" \"dicom-sender %s\" \"dicom-sender\"\n.nh\n.ad l\n", toupper(name), version
    heading("Name"); print plain(name) " \\- " plain(tolower(substr(purpose, 1, 1)) substr(purpose, 2))
    heading("Synopsis"); print usage
    heading("Description"); print about
    begun = 1
  }
  # Formats a titled list: the title, then for each entry its name and, after at least two blanks, its text.
  function list(from, to,    i, at) {
    if (line[from] ~ /^(Examples|Exit status)$/) heading(line[from])
    else {
      if (!options) heading("Options")
      options = 1
      print ".SS " plain(line[from])
    }
    if (line[from] == "Examples") { verbatim(from + 1, to); return }
    for (i = from + 1; i <= to; i++) {
      if (line[i] ~ /^          /) { print plain(trimmed(line[i])); continue }
      at = line[i] ~ /^  [0-9]+ / ? match(substr(line[i], 3), / +/) + 2 : match(substr(line[i], 9), /  +/) + 8
      print ".TP"
      if (line[i] !~ /^  [0-9]/ && !match(substr(line[i], 9), /  +/)) { print tag(line[i]); continue }
      print tag(substr(line[i], 1, at - 1))
      print plain(trimmed(substr(line[i], at)))
    }
  }
  function block(from, to,    i, titled) {
    titled = line[from] !~ /^ / && from < to && line[from + 1] ~ /^  /
    if (!begun && !titled) { introduction(from, to); return }
    if (!begun) begin_page()
    if (titled) { list(from, to); return }
    heading(line[from] ~ /^Each option can also/ ? "Environment" : "Notes")
    for (i = from; i <= to; i++) print plain(line[i])
  }
  { line[NR] = $0 }
  END {
    for (i = 1; i <= NR; i++) {
      if (line[i] == "") continue
      for (last = i; last < NR && line[last + 1] != ""; last++) continue
      block(i, last)
      i = last
    }
    heading("See also")
    others = split("dicom-coordinator dicom-ctl dicom-indexer dicom-ledger dicom-sender dicom-worker", other, " ")
    for (i = 1; i <= others; i++) if (other[i] != name) printf ".BR %s (1),\n", plain(other[i])
    print "/usr/share/doc/dicom\\-sender/README.md"
  }'
