"""Parses a Markdown page for the documentation check: its prose, headings, links, and tables.

It reads the Markdown that this repository uses: headings with '#', code in fences, and tables with a
'|' at the start of each line.
"""

import re
from collections import Counter

PROSE_COLUMNS = 100

_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
# Matches only the end of a link, because its text may begin on another line.
_TARGETS = (
    re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)"),
    re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)", re.MULTILINE),
    re.compile(r"<[a-z]+\s[^>]*?(?:href|src)=\"([^\"]+)\""),
)
_ANCHOR = re.compile(r"<[a-z]+\s[^>]*?(?:id|name)=\"([^\"]+)\"")
_MARKER = re.compile(r"\s*(?:>\s*)*(?:(?:[-*+]|\d+[.)])\s+)?(?:\[[^\]]+\]:\s+)?")
_UNBREAKABLE = re.compile(r"`[^`]*`|\[[^\]]*\]\([^)]*\)|<[^>]*>")


class Table:
    def __init__(self, line, headings, before):
        self.line = line  # the number of its first line
        self.headings = headings  # the headings above it, outermost first
        self.before = before  # the last line of text above it
        self.rows = []  # (line number, cells); the first one is the header

    @property
    def subject(self):
        return self.rows[0][1][0].strip("*` ").lower()

    def first_cells(self):
        return [(line, cells[0]) for line, cells in self.rows[2:]]


class Page:
    def __init__(self, path, text):
        self.path = path  # relative to the repository, with '/'
        self.prose = _outside_fences(text)
        self.headings = [(number, len(found[1]), found[2]) for number, line in self.prose
                         if (found := _HEADING.match(line))]
        self.anchors = _slugs([text for _, _, text in self.headings])
        self.links = []
        for first, block in _blocks(self.prose):
            masked = _CODE.sub(lambda code: re.sub(r"[^\n]", "x", code[0]), block)
            self.anchors.update(_ANCHOR.findall(masked))
            for pattern in _TARGETS:
                self.links += [(first + masked.count("\n", 0, found.start(1)), found[1])
                               for found in pattern.finditer(masked)]
        self.tables = _tables(self.prose)

    def long_lines(self):
        """Returns the lines of prose that should wrap, with their width."""
        return [(number, len(line)) for number, line in self.prose
                if len(line) > PROSE_COLUMNS and not line.lstrip().startswith("|") and _can_break(line)]


def code_spans(text):
    return [found[2] for found in _CODE.finditer(text)]


def _can_break(line):
    if _HEADING.match(line):
        return True
    text = line[_MARKER.match(line).end():]
    return len(_UNBREAKABLE.sub("x", text).split()) > 1


def _outside_fences(text):
    """Returns numbered lines. Fenced code counts as blank lines, so that it ends a paragraph."""
    lines, fence = [], None
    for number, line in enumerate(text.splitlines(), 1):
        mark = _FENCE.match(line)
        if fence is None and mark:
            fence = mark[1]
        elif fence is not None:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = None
        else:
            lines.append((number, line))
            continue
        lines.append((number, ""))
    return lines


def _blocks(prose):
    """Returns the paragraphs, each with the number of its first line."""
    block, first = [], 0
    for number, line in prose + [(0, "")]:
        if line.strip():
            first = first if block else number
            block.append(line)
        elif block:
            yield first, "\n".join(block)
            block = []


def _slugs(headings):
    """Returns GitHub's anchors of headings. The second of two equal ones gets '-1'."""
    seen, slugs = Counter(), set()
    for text in headings:
        text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
        slugs.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return slugs


def _tables(prose):
    tables, stack, before, table = [], [], "", None
    for number, line in prose:
        if line.lstrip().startswith("|"):
            if table is None:
                table = Table(number, [text for _, text in stack], before)
                tables.append(table)
            cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
            table.rows.append((number, [cell.strip().replace("\\|", "|") for cell in cells]))
            continue
        table = None
        if found := _HEADING.match(line):
            stack = [entry for entry in stack if entry[0] < len(found[1])] + [(len(found[1]), found[2])]
        if line.strip():
            before = line.strip()
    return tables
