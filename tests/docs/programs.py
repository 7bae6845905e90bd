"""Queries the programs for the options and exit statuses in their help and for their metrics."""

import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

NAMES = ("dicom-sender", "dicom-coordinator", "dicom-worker", "dicom-indexer", "dicom-ctl", "dicom-ledger")
OPTIONAL = ("dicom-ledger",)  # not built without PostgreSQL
DEADLINE_S = 30


class ProgramError(Exception):
    pass


class Program:
    def __init__(self, name, help_text):
        body, _, examples = help_text.partition("\nExamples\n")
        self.name = name
        self.options = set(re.findall(r"^ {2,6}(?:-\w, )?(--[a-z][a-z-]*)", body, re.MULTILINE))
        statuses = examples.partition("\nExit status\n")[2]
        self.statuses = {int(status) for status in re.findall(r"^  (\d+) ", statuses, re.MULTILINE)}
        # Options are taken from the usage, the examples, and the list of commands.
        listed = re.findall(r"^Commands\n((?:  [a-z].*\n)+)", body, re.MULTILINE)
        self.commands = set(re.findall(rf"^  {name} ([a-z]+)\b", help_text, re.MULTILINE))
        self.commands.update(line.split()[0] for block in listed for line in block.splitlines())


def read_programs(folder):
    """Returns the programs by name, each with the options of its commands."""
    programs = {}
    for name in NAMES:
        if name in OPTIONAL and not (folder / name).exists():
            continue
        program = Program(name, _help(folder / name))
        for command in sorted(program.commands):
            program.options |= Program(name, _help(folder / name, command)).options
        programs[name] = program
    return programs


def exposed_metrics(folder):
    """Returns the names of the services' metrics right after their start, before any session."""
    with tempfile.TemporaryDirectory() as work, _unused_port() as closed:
        # The socket stays bound but never listens, so worker and indexer find no coordinator.
        coordinator = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        (Path(work) / "input").mkdir()
        return set().union(*(_metrics_of([folder / command[0], *command[1:]], work) for command in (
            ("dicom-coordinator", "--ledger", "ledger.db", "--bind", f"tcp://127.0.0.1:{_free_port()}"),
            ("dicom-worker", "--coordinator", coordinator),
            ("dicom-indexer", "--coordinator", coordinator, "input", "-a", "NOBODY", "-H", "127.0.0.1", "-p", "1"))))


def _environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("DICOM_")}


def _help(*command):
    try:
        run = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=DEADLINE_S,
                             env=_environment(), check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ProgramError(f"{' '.join(map(str, command))} --help: {error}; build the programs first") from error
    return run.stdout


def _metrics_of(command, work):
    address = f"127.0.0.1:{_free_port()}"
    process = subprocess.Popen([*command, "--metrics", address], cwd=work, env=_environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        text = _wait_for_metrics(process, f"http://{address}/metrics", command[0])
    finally:
        process.kill()
        process.wait()
    return set(re.findall(r"^# TYPE (dicom_sender_\w+)", text, re.MULTILINE))


def _wait_for_metrics(process, url, name):
    deadline = time.monotonic() + DEADLINE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.05)  # between two attempts
    raise ProgramError(f"{name}: ended, or did not serve metrics within {DEADLINE_S} s; run it with --metrics")


def _unused_port():
    unused = socket.socket()
    unused.bind(("127.0.0.1", 0))
    return unused


def _free_port():
    with _unused_port() as unused:
        return unused.getsockname()[1]
