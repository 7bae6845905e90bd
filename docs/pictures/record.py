#!/usr/bin/env python3
"""Runs a command in a new terminal and writes what the terminal showed as an animated SVG.

    record.py [--columns N] [--rows N] OUTPUT.svg COMMAND...

The animation runs at the speed of the recording. Viewers that do not animate show the last frame.
The exit status is that of the command. An unknown control sequence is an error, so that a picture
never shows something else than the terminal did.
"""
import argparse
import codecs
import fcntl
import os
import pty
import re
import shlex
import struct
import sys
import termios
import time
import unicodedata
from xml.sax.saxutils import escape

CELL_WIDTH, LINE_HEIGHT, MARGIN, TITLE_HEIGHT = 8.4, 19, 14, 30
FRAME_SECONDS = 0.1  # faster changes become one frame
HOLD_SECONDS = 5  # how long the last frame stays before the animation restarts
COLORS = {31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea", 90: "#8b949e"}
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
CONTROL = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])")


def width_of(character):
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Screen:
    """What the terminal shows: for each line, cells of (character, color, bold)."""

    BLANK = (" ", None, False)

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines = [[]]
        self.line = self.column = 0
        self.color, self.bold = None, False
        self.unfinished = ""

    def write(self, text):
        text = self.unfinished + text
        self.unfinished = ""
        at = 0
        while at < len(text):
            character = text[at]
            if character == "\x1b":
                control = CONTROL.match(text, at)
                if not control:
                    if len(text) - at > 16:
                        raise ValueError(f"unknown control sequence {text[at:at + 16]!r}")
                    self.unfinished = text[at:]
                    return
                self.control(control[1], control[2])
                at = control.end()
                continue
            if character == "\r":
                self.column = 0
            elif character == "\n":
                self.down()
            elif character < " ":
                raise ValueError(f"unknown control character {character!r}")
            else:
                self.put(character)
            at += 1

    def control(self, parameters, name):
        numbers = [int(n or 0) for n in parameters.split(";")]
        if name == "K" and numbers[0] == 0:
            del self.lines[self.line][self.column:]
        elif name == "A":
            self.line = max(0, self.line - max(1, numbers[0]))
        elif name == "m":
            for number in numbers:
                if number == 0:
                    self.color, self.bold = None, False
                elif number == 1:
                    self.bold = True
                elif number in COLORS:
                    self.color = number
                else:
                    raise ValueError(f"unknown attribute {number}")
        else:
            raise ValueError(f"unknown control sequence ESC [ {parameters} {name}")

    def down(self):
        self.line += 1
        if self.line == len(self.lines):
            self.lines.append([])

    def put(self, character):
        width = width_of(character)
        if self.column + width > self.columns:
            self.down()
            self.column = 0
        cells = self.lines[self.line]
        cells.extend([self.BLANK] * (self.column + width - len(cells)))
        cells[self.column] = (character, self.color, self.bold)
        if width == 2:
            cells[self.column + 1] = ("", self.color, self.bold)
        self.column += width

    def shown(self):
        return tuple(tuple(line) for line in self.lines[-self.rows:])


def record(command, columns, rows):
    """Returns the frames, as (seconds, lines), and the exit status."""
    screen = Screen(columns, rows)
    screen.write("$ " + shlex.join(command) + "\r\n")
    frames = [(0.0, screen.shown())]
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execvp(command[0], command)
    begin = time.monotonic()
    decoder = codecs.getincrementaldecoder("utf-8")()
    while True:
        try:
            received = os.read(terminal, 65536)
        except OSError:  # Linux says EIO when the command has ended
            break
        if not received:
            break
        screen.write(decoder.decode(received))
        seconds, lines = time.monotonic() - begin, screen.shown()
        if lines == frames[-1][1]:
            continue
        if seconds - frames[-1][0] < FRAME_SECONDS and len(frames) > 1:
            frames[-1] = (frames[-1][0], lines)
        else:
            frames.append((seconds, lines))
    return frames, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def runs_of(line):
    """Yields runs of cells with the same style as (column, width, text, color, bold), without blanks at their ends."""
    runs = []
    for column, (character, color, bold) in enumerate(line):
        if runs and runs[-1][3:] == (color, bold):
            first, width, text = runs[-1][:3]
            runs[-1] = (first, width + 1, text + character, color, bold)
        else:
            runs.append((column, 1, character, color, bold))
    for column, width, text, color, bold in runs:
        left, right = len(text) - len(text.lstrip(" ")), len(text) - len(text.rstrip(" "))
        if text.strip(" "):
            yield column + left, width - left - right, text.strip(" "), color, bold


def text_element(line):
    parts = []
    for column, width, text, color, bold in runs_of(line):
        style = (f' fill="{COLORS[color]}"' if color else "") + (' font-weight="bold"' if bold else "")
        length = f' textLength="{width * CELL_WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"' if width > 1 else ""
        parts.append(f'<tspan x="{column * CELL_WIDTH:.1f}"{length}{style}>{escape(text)}</tspan>')
    return "".join(parts)


def svg(frames, columns, title):
    rows = max(len(lines) for _, lines in frames)
    width, height = columns * CELL_WIDTH, rows * LINE_HEIGHT
    total = frames[-1][0] + HOLD_SECONDS
    names, definitions, strip, keys = {}, [], [], []
    # The frames are side by side, the last one first, because a viewer that does not animate shows the first place.
    for number, (seconds, lines) in enumerate(frames):
        place = (number + 1) % len(frames)
        keys.append(f"{100 * seconds / total:.2f}%{{transform:translateX({-place * width:.1f}px)}}")
        used = []
        for row, line in enumerate(lines):
            element = text_element(line)
            if not element:
                continue
            if element not in names:
                names[element] = f"l{len(names)}"
                definitions.append(f'<text id="{names[element]}">{element}</text>')
            used.append(f'<use href="#{names[element]}" y="{row * LINE_HEIGHT + 14}"/>')
        strip.append(f'<g transform="translate({place * width:.1f})">{"".join(used)}</g>')
    box = f"{width + 2 * MARGIN:.0f}", f"{height + TITLE_HEIGHT + MARGIN:.0f}"
    dots = "".join(f'<circle cx="{20 + 18 * i}" cy="16" r="5.5" fill="{c}"/>'
                   for i, c in enumerate(("#ff5f56", "#ffbd2e", "#27c93f")))
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{box[0]}" height="{box[1]}" viewBox="0 0 {box[0]} {box[1]}" '
        f'role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f"<style>text{{font:14px {FONT};fill:#c9d1d9;white-space:pre}}",
        f".strip{{animation:play {total:.2f}s step-end infinite}}",
        "@keyframes play{" + "".join(keys) + "}",
        "@media (prefers-reduced-motion:reduce){.strip{animation:none}}</style>",
        "<defs>", *definitions, "</defs>",
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>{dots}',
        f'<svg x="{MARGIN}" y="{TITLE_HEIGHT}" width="{width:.1f}" height="{height}"><g class="strip">',
        *strip, "</g></svg></svg>", ""])


def main():
    parser = argparse.ArgumentParser(description="Records a command's terminal as an animated SVG.")
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("output")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("the command is missing")
    frames, status = record(arguments.command, arguments.columns, arguments.rows)
    with open(arguments.output, "w", encoding="utf-8") as output:
        output.write(svg(frames, arguments.columns, "A terminal in which " + arguments.command[0] + " runs"))
    print(f"{arguments.output}: {len(frames)} frames, {frames[-1][0]:.1f} s, exit status {status}")
    return status


if __name__ == "__main__":
    sys.exit(main())
