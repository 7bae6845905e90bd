#!/usr/bin/env python3
"""Tests the documentation check: a good repository passes, and each fault is reported with its position."""

import io
import sys
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import check
from pages import Page
from programs import NAMES, Program, ProgramError, exposed_metrics, read_programs

HELP = """Does something.

  dicom-x PATH [OPTION ...]

Input
  -i, --input PATH                    what to read; without it
                                      --nothing is read
      --max-pdu SIZE                  a size

Examples
  dicom-x --example

Exit status
  0  done
  70 internal error
"""
GOOD = {
    "README.md": "# Project\n\nSee [the\nindex](docs/README.md), [here](#project).\n",
    "docs/README.md": "# Index\n\n- [Options](options.md)\n- [Operation](run/operation.md#the-alert-nothing-moves-1)\n",
    "docs/options.md": "# Options\n\n## All programs\n\n| option | meaning |\n|---|---|\n"
                       "| `-i`, `--input PATH` | input |\n| `--max-pdu SIZE` | a\\|b |\n\n"
                       "**Exit status**\n\n| status | meaning |\n|---|---|\n| 0 | done |\n| 70 | error |\n",
    "docs/run/operation.md": "# Operation\n\n```sh\n# The alert\n```\n\n## The alert `Nothing moves`\n\n"
                             "## The alert: [Nothing](../options.md) moves\n\n| metric | meaning |\n|---|---|\n"
                             "| `sent_total{outcome}` | sent |\n| `dicom_sender_wait_seconds` | waited |\n",
    "cli/exit_status.h": "inline constexpr int kExitDone = 0;\ninline constexpr int kExitInternal = 70;\n",
    "worker/metrics.cc": 'MakeCounter(registry, "sent_total", "");\nName(Full("wait_seconds"));\n',
    "worker/worker.cc": "// As docs/run/operation.md says.\n",
    "deploy/prometheus/rules/alerts.yml":
        "- record: a:dicom_sender_sent:rate5m\n  expr: rate(dicom_sender_sent_total[5m])\n"
        "- alert: NothingMoves\n  expr: a:dicom_sender_sent:rate5m == 0\n  annotations:\n"
        "    runbook: docs/run/operation.md#the-alert-nothing-moves\n",
    "deploy/grafana/dashboards/board.json": '"dicom_sender_wait_seconds_bucket"\n',
}
EXPOSED = {"dicom_sender_sent_total"}


class RepositoryTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.programs = {name: Program(name, HELP) for name in NAMES}
        for path, text in GOOD.items():
            self.write(path, text)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")

    def replace(self, path, old, new):
        self.assertIn(old, GOOD[path])
        self.write(path, GOOD[path].replace(old, new))

    def assert_faults(self, *expected):
        """Expects exactly these beginnings of faults, in any order."""
        faults = sorted(check.all_faults(self.root, self.programs, EXPOSED))
        self.assertEqual(len(faults), len(expected), faults)
        for fault, beginning in zip(faults, sorted(expected)):
            self.assertEqual(fault[:len(beginning)], beginning)

    def test_good_repository_passes(self):
        self.assert_faults()

    def test_exit_status_reports_faults(self):
        with patch.object(check, "read_programs", return_value=self.programs), \
                patch.object(check, "exposed_metrics", return_value=EXPOSED), \
                redirect_stdout(io.StringIO()) as output:
            self.assertEqual(check.main(["bin", str(self.root)]), 0)
            self.write("docs/lost.md", "# Lost\n")
            self.assertEqual(check.main(["bin", str(self.root)]), 1)
        self.assertEqual(output.getvalue().count("\n"), 1)

    # --- prose

    def test_long_prose(self):
        self.write("CHANGELOG.md", "# Changes\n\n" + "word " * 20 + "\n" + "word " * 20 + "x\n- " + "word " * 30 + "\n")
        self.assert_faults("CHANGELOG.md:4: 101 columns", "CHANGELOG.md:5: 152 columns")

    def test_long_heading(self):
        self.write("CHANGELOG.md", f"# {'x' * 100}\n")
        self.assert_faults("CHANGELOG.md:1: 102 columns")

    def test_long_lines_that_cannot_wrap(self):
        url = "https://example.org/" + "x" * 100
        self.write("CHANGELOG.md", f"# Changes\n\n{url}\n- <{url}>\n[a link]({url}),\n1. `{'code ' * 30}`\n[x]: {url}\n"
                                   f"\n| {'cell ' * 30} |\n|---|\n\n```\n{'code ' * 30}\n```\n")
        self.assert_faults()

    # --- links

    def test_link_to_a_file_that_is_missing(self):
        self.write("CHANGELOG.md", "# Changes\n\nA [long\nlink](docs/gone.md), a [folder](docs), `[code](gone)`.\n")
        self.assert_faults("CHANGELOG.md:4: 'docs/gone.md' is not in the repository")

    def test_link_out_of_the_repository(self):
        self.write("CHANGELOG.md", "![image](../image.png)\n")
        self.assert_faults("CHANGELOG.md:1: '../image.png' is not in the repository")

    def test_links_of_other_forms(self):
        self.write("CHANGELOG.md", '<a href="gone1">x</a> [x][y]\n\n[y]: gone2\n\n[z](<gone3> "title")\n')
        self.assert_faults(*(f"CHANGELOG.md:{line}: 'gone{n}'" for n, line in ((1, 1), (2, 3), (3, 5))))

    def test_anchor_that_is_missing(self):
        self.write("CHANGELOG.md", "[here](#there) [index](docs/README.md#project) [web](https://example.org/#x)\n")
        self.assert_faults("CHANGELOG.md:1: 'CHANGELOG.md' has no heading '#there'",
                           "CHANGELOG.md:1: 'docs/README.md' has no heading '#project'")

    def test_anchors_of_headings(self):
        page = Page("x.md", "# A `b_c`, *d* & Ü!\n\n## X\n## X\n## X ##\n\n<a id=\"own\"></a>\n"
                            "~~~\n# Y\n```\n# Y\n~~~\n")
        self.assertEqual(page.anchors, {"a-b_c-d--ü", "x", "x-1", "x-2", "own"})

    def test_page_that_the_index_does_not_reach(self):
        self.write("docs/lost.md", "# Lost\n")
        self.write("CHANGELOG.md", "[Lost](docs/lost.md)\n")
        self.assert_faults("docs/lost.md: cannot be reached")

    def test_no_index(self):
        (self.root / "docs/README.md").unlink()
        self.assert_faults("README.md:4: 'docs/README.md' is not", "docs/README.md: is missing")

    def test_mention_of_a_page_that_is_missing(self):
        self.write("worker/worker.cc", "\n// See docs/gone.md, docs/README.md#index.\n")
        self.assert_faults("worker/worker.cc:2: 'docs/gone.md' is not in the repository")

    # --- options

    def test_option_that_is_not_documented(self):
        self.programs["dicom-worker"].options.add("--new")
        self.assert_faults("docs/options.md: '--new' of dicom-worker is missing")

    def test_option_that_only_one_program_has(self):
        self.programs["dicom-worker"].options.add("--new")
        self.write("docs/options.md", GOOD["docs/options.md"] + "\n## `dicom-worker`\n\n### Sending\n\n"
                   "| Option | x |\n|---|---|\n| `--new` | x |\n")
        self.assert_faults()

    def test_option_that_a_program_does_not_have(self):
        self.replace("docs/options.md", "## All programs", "## dicom-worker and dicom-ctl")
        for name in NAMES:
            if name != "dicom-worker":
                self.programs[name].options = set()
        self.assert_faults("docs/options.md:7: dicom-ctl does not have '--input'",
                           "docs/options.md:8: dicom-ctl does not have '--max-pdu'")

    def test_option_without_a_program(self):
        self.replace("docs/options.md", "## All programs", "## Others")
        for program in self.programs.values():
            program.options = set()
        self.assert_faults("docs/options.md:7: '--input' is below no heading",
                           "docs/options.md:8: '--max-pdu' is below no heading")

    def test_option_in_another_page(self):
        self.write("CHANGELOG.md", "| option | x |\n|---|---|\n| `--gone` or `--input` | `--other` |\n")
        self.assert_faults("CHANGELOG.md:3: no program has '--gone'")

    def test_no_page_of_options(self):
        self.replace("docs/README.md", "- [Options](options.md)\n", "")
        self.replace("docs/run/operation.md", "[Nothing](../options.md) moves", "Nothing moves")
        (self.root / "docs/options.md").unlink()
        self.assert_faults("docs/options.md: is missing", "exit status 0: is not in any table",
                           "exit status 70: is not in any")

    def test_program_that_is_not_built(self):
        del self.programs["dicom-ledger"]
        self.write("docs/options.md", GOOD["docs/options.md"] + "\n## dicom-ledger\n\n| option | x |\n|---|---|\n"
                   "| `--own` | x |\n\n| exit status | x |\n|---|---|\n| 5 | x |\n")
        self.assert_faults()

    # --- exit statuses

    def test_status_that_is_not_documented(self):
        self.write("cli/exit_status.h", GOOD["cli/exit_status.h"] + "inline constexpr int kExitNew = 75;\n")
        self.programs["dicom-ctl"].statuses.add(5)
        self.assert_faults("exit status 5: is not in any table (dicom-ctl)", "exit status 75: is not in any table",
                           "docs/options.md:12: exit status 5 of dicom-coordinator or")

    def test_status_that_does_not_exist(self):
        self.write("CHANGELOG.md", "# x\n\nThe exit status:\n\n| status | x |\n|---|---|\n| 0, 6 | x |\n\n"
                   "Other\n\n| status | x |\n|---|---|\n| 7 | x |\n")
        self.assert_faults("CHANGELOG.md:5: 6 is not an exit status of any program")

    def test_statuses_of_one_program(self):
        self.programs["dicom-ctl"].statuses = {0, 1}
        self.replace("docs/options.md", "**Exit status**", "## dicom-ctl: exit status")
        self.assert_faults("docs/options.md:12: 70 is not an exit status of dicom-ctl",
                           "docs/options.md:12: exit status 1 of dicom-ctl is missing",
                           "exit status 1: is not in any table")

    def test_statuses_that_no_table_has_together(self):
        self.replace("docs/options.md", "| 70 | error |\n", "")
        self.write("docs/run/operation.md", GOOD["docs/run/operation.md"] + "\n| exit status |\n|---|\n| 70 |\n")
        self.assert_faults("docs/options.md:12: exit status 70 of dicom-coordinator or",
                           "exit status 70: no table has it")

    # --- metrics and alerts

    def test_metric_that_is_not_documented(self):
        self.write("worker/metrics.cc", GOOD["worker/metrics.cc"] + 'new_total(\n    registry, "new_total", "");\n')
        self.assert_faults("dicom_sender_new_total: is not in any table of metrics")

    def test_metric_that_does_not_exist(self):
        self.write("worker/metrics.cc", 'MakeCounter(registry, "sent_total", "");\n')
        self.assert_faults("docs/run/operation.md:14: unknown metric 'dicom_sender_wait_seconds'; remove",
                           "docs/run/operation.md:14: unknown metric 'dicom_sender_wait_seconds'; correct",
                           "deploy/grafana/dashboards/board.json:1: unknown metric 'dicom_sender_wait_seconds_bucket'")

    def test_metric_that_is_served_but_not_found(self):
        faults = check.all_faults(self.root, self.programs, {"dicom_sender_hidden"})
        self.assertEqual([fault.partition(":")[0] for fault in faults], ["dicom_sender_hidden"])

    def test_use_of_a_metric_that_does_not_exist(self):
        self.replace("deploy/prometheus/rules/alerts.yml", "rate(dicom_sender_sent", "rate(dicom_sender_gone")
        self.write("CHANGELOG.md", "`dicom_sender_gone`, `x:dicom_sender_gone:rate1m`, dicom_sender_<session>.db, "
                   "dicom_sender_x.json\n")
        self.assert_faults("deploy/prometheus/rules/alerts.yml:2: unknown metric 'dicom_sender_gone_total'",
                           "CHANGELOG.md:1: unknown metric 'dicom_sender_gone'",
                           "CHANGELOG.md:1: unknown metric 'x:dicom_sender_gone:rate1m'")

    def test_alert_without_a_section(self):
        self.replace("deploy/prometheus/rules/alerts.yml", "runbook:", "summary:")
        self.assert_faults("deploy/prometheus/rules/alerts.yml: alert NothingMoves names no section")

    def test_alert_whose_section_is_missing(self):
        self.replace("deploy/prometheus/rules/alerts.yml", "moves\n", "goes\n")
        self.assert_faults("deploy/prometheus/rules/alerts.yml:6: 'docs/run/operation.md' has no heading "
                           "'#the-alert-nothing-goes'")


class ProgramsTest(unittest.TestCase):
    """Replaces the programs with scripts."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write_programs(self, text):
        for name in NAMES:
            (self.folder / name).write_text(text, encoding="utf-8")
            (self.folder / name).chmod(0o755)

    def test_help(self):
        program = Program("dicom-x", HELP)
        self.assertEqual(program.options, {"--input", "--max-pdu"})
        self.assertEqual(program.statuses, {0, 70})
        self.assertEqual(program.commands, set())

    def test_commands(self):
        program = Program("dicom-x", "  dicom-x list [--all]\n\nCommands\n  show NAME   one\n  stop        it\n\n"
                                     "Commands\n      --all   show: all\n")
        self.assertEqual(program.commands, {"list", "show", "stop"})
        self.assertEqual(program.options, {"--all"})

    def test_options_of_commands_count(self):
        self.write_programs('#!/bin/sh\nif [ $# -eq 1 ]; then printf "Commands\\n  show X   one\\n\\n"; else '
                            'printf "Options\\n  -a, --all   all\\n"; fi\n')
        self.assertEqual(read_programs(self.folder)["dicom-ctl"].options, {"--all"})

    def test_program_that_is_missing(self):
        self.write_programs("#!/bin/sh\n")
        (self.folder / "dicom-ledger").unlink()
        self.assertNotIn("dicom-ledger", read_programs(self.folder))
        (self.folder / "dicom-ctl").unlink()
        with self.assertRaisesRegex(ProgramError, "dicom-ctl"):
            read_programs(self.folder)

    def test_metrics(self):
        self.write_programs(f"""#!{sys.executable}
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        name = sys.argv[0].rpartition("-")[2]
        self.wfile.write(f"# TYPE dicom_sender_{{name}} histogram\\ndicom_sender_{{name}}_sum 0\\n".encode())
HTTPServer(("127.0.0.1", int(sys.argv[-1].rpartition(":")[2])), Handler).serve_forever()
""")
        self.assertEqual(exposed_metrics(self.folder),
                         {"dicom_sender_coordinator", "dicom_sender_worker", "dicom_sender_indexer"})

    def test_program_that_ends_without_metrics(self):
        self.write_programs("#!/bin/sh\nexit 1\n")
        with self.assertRaisesRegex(ProgramError, "dicom-coordinator.*ended"):
            exposed_metrics(self.folder)

    def test_usage_and_missing_programs(self):
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as errors:
            self.assertEqual(check.main([]), 2)
            self.assertEqual(check.main([str(self.folder)]), 2)
        self.assertIn("usage:", errors.getvalue())
        self.assertIn("build the programs first", errors.getvalue())


if __name__ == "__main__":
    unittest.main()
