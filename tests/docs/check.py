#!/usr/bin/env python3
"""Checks the documentation against itself and against the programs.

  tests/docs/check.py BIN_DIR [ROOT]      the folder of the built programs, and of the repository

- Prose wraps at 100 columns. Tables, code in fences, and what cannot be broken may be longer.
- Links lead to existing files and headings of the repository. Every page in docs/ can be reached
  from docs/README.md through pages in docs/. Other files mention only pages and headings that exist.
- docs/options.md has exactly the options of each program's help, in the first column of its tables.
  A table documents the programs that the nearest heading above it names; "All programs" names every
  one. In other pages, tables with the first column "option" have only options that some program has.
- The first columns of the tables about exit statuses have exactly the statuses in
  cli/exit_status.h and in the helps, and one table has all of cli/exit_status.h. Such a table is
  below a line or heading that says "exit status", or its first column does. A table below a heading
  that names programs has exactly the statuses of their helps.
- The tables with the first column "metric" have exactly the metrics in the sources; the names may
  stand without "dicom_sender_". Pages, rules, and the dashboard use only metrics that exist.
- Each alert has an annotation "runbook" with a page and a heading.

Exit status: 0; 1 if there are faults, one line for each; 2 if something cannot be checked.
"""

import os
import posixpath
import re
import sys
from pathlib import Path
from urllib.parse import unquote

from pages import PROSE_COLUMNS, Page, code_spans
from programs import NAMES, ProgramError, exposed_metrics, read_programs

INDEX = "docs/README.md"
OPTIONS = "docs/options.md"
PREFIX = "dicom_sender_"
LEFT_OUT = {".git", ".cache", "build", "__pycache__"}

_METRIC_CELL = re.compile(rf"(?:{PREFIX})?([a-z0-9_]+)(?:\{{[^}}]*\}})?")
# Names of metrics and of recorded series, but not file names or prefixes.
_METRIC_USE = re.compile(rf"(?<![\w./:])((?:[a-z_]+:)?{PREFIX}[a-z0-9_:]*[a-z0-9])\b(?!\.(?:db|json|log|ya?ml))")
_METRIC_SOURCE = re.compile(r"(?:\b[Rr]egistry_?,\s*|\bFull\()\"([a-z0-9_]+)\"")
_MENTION = re.compile(r"\bdocs/[\w./-]+?\.md\b(?:#[\w-]+)?")


# --- reading

def source_files(root):
    """Returns the files of the repository by their relative path."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - LEFT_OUT)
        for name in sorted(names):
            file = Path(folder) / name
            yield file.relative_to(root).as_posix(), file


def read_pages(root):
    """Returns the pages in docs/ and in the top folder by their relative path."""
    return {path: Page(path, file.read_text(encoding="utf-8")) for path, file in source_files(root)
            if path.endswith(".md") and ("/" not in path or path.startswith("docs/"))}


def read_text(root, *patterns):
    return {file.relative_to(root).as_posix(): file.read_text(encoding="utf-8")
            for pattern in patterns for file in sorted(root.glob(pattern))}


# --- prose and links

def prose_faults(pages):
    for page in pages.values():
        for line, width in page.long_lines():
            yield f"{page.path}:{line}: {width} columns; wrap prose at {PROSE_COLUMNS}"


def resolve(page, target):
    """Returns the path and the anchor of a link."""
    path, _, anchor = unquote(target).partition("#")
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page, anchor


def target_fault(root, pages, path, anchor):
    if path.startswith("../") or not (root / path).exists():
        return f"'{path}' is not in the repository; correct the link"
    if anchor and path in pages and anchor not in pages[path].anchors:
        return f"'{path}' has no heading '#{anchor}'; correct the link"
    return None


def link_faults(root, pages):
    for page in pages.values():
        for line, target in page.links:
            if re.match(r"[a-z]+:", target):
                continue
            if fault := target_fault(root, pages, *resolve(page.path, target)):
                yield f"{page.path}:{line}: {fault}"


def unreachable_faults(pages):
    if INDEX not in pages:
        yield f"{INDEX}: is missing; add it and link every page from it"
        return
    reached, left = {INDEX}, [INDEX]
    while left:
        page = left.pop()
        targets = {resolve(page, target)[0] for _, target in pages[page].links}
        new = {path for path in targets if path in pages and path.startswith("docs/")} - reached
        reached |= new
        left += new
    for path in sorted(pages):
        if path.startswith("docs/") and path not in reached:
            yield f"{path}: cannot be reached from {INDEX}; link it"


def mention_faults(root, pages):
    """Also checks pages that comments, units, and annotations mention."""
    for path, file in source_files(root):
        if path.endswith(".md") or path.startswith("tests/docs/"):
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            for mention in _MENTION.findall(line):
                if fault := target_fault(root, pages, *resolve("", mention)):
                    yield f"{path}:{number}: {fault}"


# --- options and exit statuses

def named_programs(table):
    """Returns the programs in the nearest heading, excluding the page's title."""
    for heading in reversed(table.headings[1:]):
        if "all programs" in heading.lower():
            return set(NAMES)
        if named := set(re.findall(r"\bdicom-[a-z]+\b", heading)) & set(NAMES):
            return named
    return set()


def options_in(cell):
    return {option for span in code_spans(cell) for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", span)}


def option_faults(pages, programs):
    documented = {name: set() for name in programs}
    if OPTIONS not in pages:
        yield f"{OPTIONS}: is missing; add it with the options of each program"
        return
    for table in pages[OPTIONS].tables:
        names = named_programs(table)
        for line, cell in table.first_cells():
            for option in sorted(options_in(cell)):
                if not names:
                    yield f"{OPTIONS}:{line}: '{option}' is below no heading that names a program; move it"
                for name in sorted(names & programs.keys()):
                    documented[name].add(option)
                    if option not in programs[name].options:
                        yield f"{OPTIONS}:{line}: {name} does not have '{option}'; remove it, or move it"
    for name, program in programs.items():
        for option in sorted(program.options - documented[name]):
            yield f"{OPTIONS}: '{option}' of {name} is missing; document it"


def other_option_faults(pages, programs):
    known = set().union(*(program.options for program in programs.values()))
    for page in pages.values():
        for table in page.tables:
            if page.path == OPTIONS or table.subject not in ("option", "options"):
                continue
            for line, cell in table.first_cells():
                for option in sorted(options_in(cell) - known):
                    yield f"{page.path}:{line}: no program has '{option}'; remove it"


def status_tables(pages):
    """Returns the position, the programs, and the statuses of each table of exit statuses."""
    for page in pages.values():
        for table in page.tables:
            above = " ".join([table.before, *table.headings[-1:]]).lower()
            if table.subject == "exit status" or (table.subject == "status" and "exit status" in above):
                numbers = [number for _, cell in table.first_cells() for number in re.findall(r"\d+", cell)]
                yield f"{page.path}:{table.line}", named_programs(table), set(map(int, numbers))


def statuses_of(programs, names):
    return set().union(*(programs[name].statuses for name in names))


def status_faults(root, pages, programs):
    source = (root / "cli/exit_status.h").read_text(encoding="utf-8")
    sending = {int(status) for status in re.findall(r"\bkExit\w+\s*=\s*(\d+)", source)}
    every = sending | statuses_of(programs, programs)
    documented, fullest = set(), set()
    for place, names, statuses in status_tables(pages):
        documented |= statuses
        fullest = max(fullest, statuses & sending, key=len)
        if not (names or set(NAMES)) <= programs.keys():
            continue  # a program that is not built may have any option
        whose = " or ".join(sorted(names)) or "any program"
        expected = statuses_of(programs, names)
        for status in sorted(statuses - (expected or every)):
            yield f"{place}: {status} is not an exit status of {whose}; remove it"
        for status in sorted(expected - statuses):
            yield f"{place}: exit status {status} of {whose} is missing; document it"
    for status in sorted(every - documented):
        whose = [name for name, program in programs.items() if status in program.statuses]
        yield f"exit status {status}: is not in any table ({', '.join(whose) or 'no help names it'}); document it"
    for status in sorted((sending & documented) - fullest):
        yield f"exit status {status}: no table has it with all others of cli/exit_status.h; document it there"


# --- metrics and alerts

def source_metrics(root):
    """Returns the names in the product's sources, with the prefix."""
    return {PREFIX + name for path, file in source_files(root)
            if path.endswith((".cc", ".h")) and not path.startswith("tests/")
            for name in _METRIC_SOURCE.findall(file.read_text(encoding="utf-8"))}


def documented_metrics(pages):
    """Returns the names with the prefix, and their positions."""
    return {PREFIX + found[1]: f"{page.path}:{line}" for page in pages.values() for table in page.tables
            if table.subject in ("metric", "metrics") for line, cell in table.first_cells()
            for span in code_spans(cell) if (found := _METRIC_CELL.fullmatch(span))}


def metric_faults(root, pages, exposed):
    metrics, documented = source_metrics(root), documented_metrics(pages)
    for name in sorted(exposed - metrics):
        yield f"{name}: is served but not found in the sources; let tests/docs/check.py find it"
    for name in sorted(metrics - documented.keys()):
        yield f"{name}: is not in any table of metrics; document it"
    for name in sorted(documented.keys() - metrics):
        yield f"{documented[name]}: unknown metric '{name}'; remove it"


def metric_use_faults(root, pages):
    rules = read_text(root, "deploy/prometheus/rules/*.yml")
    texts = rules | read_text(root, "deploy/prometheus/*.yml", "deploy/grafana/dashboards/*.json", *pages)
    known = source_metrics(root)
    known |= {name + suffix for name in known for suffix in ("_bucket", "_sum", "_count")}
    known |= {name for text in rules.values() for name in re.findall(r"record:\s*(\S+)", text)}
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            for name in sorted(set(_METRIC_USE.findall(line)) - known):
                yield f"{path}:{number}: unknown metric '{name}'; correct the name"


def alert_faults(root):
    """Does not check whether the heading exists, because the check of mentions does."""
    for path, text in read_text(root, "deploy/prometheus/rules/*.yml").items():
        for rule in re.split(r"^\s*- (?=alert:|record:)", text, flags=re.MULTILINE)[1:]:
            alert = re.match(r"alert:\s*(\S+)", rule)
            if alert and not re.search(r"^\s*runbook(?:_url)?:.*\bdocs/\S+\.md#\S", rule, re.MULTILINE):
                yield f"{path}: alert {alert[1]} names no section; add 'runbook: docs/PAGE.md#HEADING'"


def all_faults(root, programs, exposed):
    pages = read_pages(root)
    return [*prose_faults(pages), *link_faults(root, pages), *unreachable_faults(pages),
            *mention_faults(root, pages), *option_faults(pages, programs), *other_option_faults(pages, programs),
            *status_faults(root, pages, programs), *metric_faults(root, pages, exposed),
            *metric_use_faults(root, pages), *alert_faults(root)]


def main(arguments):
    if len(arguments) not in (1, 2):
        print("usage: tests/docs/check.py BIN_DIR [ROOT]", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    root = Path(arguments[1] if len(arguments) == 2 else Path(__file__).parents[2]).resolve()
    try:
        faults = all_faults(root, read_programs(folder), exposed_metrics(folder))
    except ProgramError as error:
        print(error, file=sys.stderr)
        return 2
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
