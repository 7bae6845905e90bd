#include "cli/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "tests/support/process.h"

namespace dicom_sender {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kSession = "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a";
const TerminalStyle kPipe;
const TerminalStyle kTerminal = {.terminal = true, .utf8 = true, .color = true, .columns = 100};
const TerminalStyle kPlainTerminal = {.terminal = true, .utf8 = false, .color = false, .columns = 100};
const std::string kEvil = "a\n\x1B[2Jb\xFF\xC2\x9B";
const std::string kTamed = "a\\n\\x1b[2Jb\xEF\xBF\xBD\xEF\xBF\xBD";

TEST(Render, Session) {
  EXPECT_EQ(RenderSession({kSession, "./dicom_sender_5e0c.log", "ARCHIVE:104@pacs.example.org", "RUST_SCU"}),
            "Session      5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a\n"
            "Destination  ARCHIVE:104@pacs.example.org (calling AE title RUST_SCU)\n"
            "Log          ./dicom_sender_5e0c.log\n");
  EXPECT_EQ(RenderSession({"1", "x", "", "", true}), "Session      1 (resumed)\nLog          x\n");
  EXPECT_THAT(RenderSession({.session = "1", .log_file = "x", .destination = "", .calling_ae = "", .scan_time = "T"}),
              HasSubstr("Scan         using the scan of T; --new scans again\n"));
}

TEST(Render, Indexing) {
  EXPECT_EQ(RenderIndexing({75s, 1, 0, 0}), "Indexing ... 1 file, 0 of them DICOM, 1:15");
  EXPECT_EQ(RenderIndexing({3700s, 12345, 12000, 1}),
            "Indexing ... 12345 files, 12000 of them DICOM, 1 copy compared, 1:01:40");
}

TEST(Render, Found) {
  FoundView view;
  view.files = 123;
  view.bytes = 3ULL << 29;
  view.studies = 2;
  view.first_studies = {{"1.2.3", 122}, {"", 1}};
  view.ignored = {{"not_dicom", 3}, {"empty", 2}, {"dicomdir", 1}, {"unreadable", 0}};
  EXPECT_EQ(RenderFound(view),
            "Found 123 files, grouped into 2 studies (1.5 GiB)\n"
            "  1.2.3: 122 files\n"
            "  (no Study Instance UID): 1 file\n"
            "Ignored 6 files: 1 DICOMDIR, 2 empty, 3 not DICOM\n");
  EXPECT_EQ(RenderFound({}), "Found 0 files, grouped into 0 studies (0 B)\n");
}

TEST(Render, FoundShowsTwentyStudies) {
  FoundView view;
  view.files = view.studies = 1000;
  for (int i = 0; i < 30; ++i) view.first_studies.push_back({"1.2." + std::to_string(i), 1});
  std::string text = RenderFound(view);
  EXPECT_THAT(text, HasSubstr("  1.2.19: 1 file\n  and 980 more\n"));
  EXPECT_THAT(text, Not(HasSubstr("1.2.20")));
  view.studies = 20;
  EXPECT_THAT(RenderFound(view), Not(HasSubstr("more")));
}

TEST(Render, Plan) {
  PlanView view;
  view.found.files = 10;
  view.found.studies = 1;
  view.found.bytes = 1024;
  view.found.first_studies = {{"1.2", 10}};
  view.to_send = 6;
  view.bytes_to_send = 600;
  view.broken = 1;
  view.duplicates = 3;
  view.conflicts = 1;
  view.destination = "ARCHIVE:104@h";
  view.associations = 1;
  view.sop_classes = {{"CT Image Storage", 5}, {"1.2.3", 1}};
  view.transfer_syntaxes = {{"RLE Lossless", 6}};
  view.contexts = {{"CT Image Storage", {"RLE Lossless"}}, {"CT Image Storage", {"Explicit", "Implicit"}}};
  EXPECT_EQ(RenderPlan(view),
            "Found 10 files, grouped into 1 study (1.0 KiB)\n"
            "  1.2: 10 files\n"
            "\n"
            "Plan\n"
            "  Send       6 instances, 600 B\n"
            "  To         ARCHIVE:104@h\n"
            "  Fail       1 file: broken or incomplete\n"
            "  Skip       3 files: duplicates of other files\n"
            "  Conflict   1 file: the same SOP Instance UID as another file, but not its dataset\n"
            "  Over       1 association\n"
            "  SOP classes\n"
            "    CT Image Storage: 5 files\n"
            "    1.2.3: 1 file\n"
            "  Transfer syntaxes\n"
            "    RLE Lossless: 6 files\n"
            "  Presentation contexts, proposed for each study as far as it needs them\n"
            "    CT Image Storage: RLE Lossless\n"
            "    CT Image Storage: Explicit, Implicit\n");
  EXPECT_EQ(RenderPlan({}),
            "Found 0 files, grouped into 0 studies (0 B)\n"
            "\n"
            "Plan\n"
            "  Send       0 instances, 0 B\n");
}

ProgressView Progress() {
  ProgressView view;
  view.elapsed = 75s;
  view.stored = 420;
  view.pending = 580;
  view.bytes_stored = 42 << 20;
  view.bytes_pending = 58 << 20;
  view.associations = 2;
  return view;
}
const Rate kRate = {10, 1 << 20};

TEST(Render, ProgressBar) {
  EXPECT_EQ(RenderProgressBar(Progress(), kRate, kPlainTerminal),
            "1:15 [################........................]  42%  420/1000  10.0 files/s, 1.0 MiB/s  ETA 0:58");
  EXPECT_EQ(RenderProgressBar(Progress(), std::nullopt, kPlainTerminal),
            "1:15 [################........................]  42%  420/1000  - files/s  ETA -");
  ProgressView failed = Progress();
  failed.failed = 7;
  failed.pending = 573;
  EXPECT_EQ(RenderProgressBar(failed, Rate{1234.5, 0}, kTerminal),
            "1:15 [█████████████░░░░░░░░░░░░░░░░░░░]  42%  420/1000  1234 files/s, 0.0 MiB/s  ETA 0:00\x1b[31m  7 "
            "failed\x1b[0m");
}

TEST(Render, ProgressBarShowsWhatItWaitsFor) {
  ProgressView view = Progress();
  view.note = "destination unreachable: connection refused, retrying in 4 s";
  EXPECT_EQ(RenderProgressBar(view, kRate, kPlainTerminal),
            "1:15 [######.........]  42%  420/1000  destination unreachable: connection refused, retrying in 4 s");
}

TEST(Render, ProgressBarWithoutATotal) {
  ProgressView view = Progress();
  view.total_known = false;
  EXPECT_EQ(RenderProgressBar(view, kRate, kPlainTerminal), "1:15 420 of 1000 found so far  10.0 files/s, 1.0 MiB/s");
}

TEST(Render, ProgressBarNeverFillsTheLine) {
  ProgressView view = Progress();
  view.failed = 3;
  view.pending = 577;
  for (const char* note : {"", "\xE6\x97\xA5\xE6\x9C\xAC is wide, and this is long"}) {
    view.note = note;
    for (std::size_t columns = 0; columns < 120; ++columns) {
      const TerminalStyle style = {.terminal = true, .utf8 = false, .color = false, .columns = columns};
      const std::string bar = RenderProgressBar(view, kRate, style);
      std::size_t width = 0;
      for (const char c : bar) width += (c & 0xC0) != 0x80;
      EXPECT_LE(width, std::max<std::size_t>(columns, 2) - 1) << bar;
    }
  }
}

TEST(Render, ProgressBarAtZeroAndAtTheEnd) {
  ProgressView view;
  EXPECT_THAT(RenderProgressBar(view, std::nullopt, kPlainTerminal), HasSubstr("  0%  0/0  "));
  view = Progress();
  view.stored = std::exchange(view.pending, 0) + view.stored;
  EXPECT_THAT(RenderProgressBar(view, kRate, kPlainTerminal),
              testing::MatchesRegex("1:15 \\[#+\\] 100%  1000/1000  .*ETA 0:00"));
  view.stored = 999;
  view.pending = 1;
  EXPECT_THAT(RenderProgressBar(view, kRate, kPlainTerminal), HasSubstr(" 99%  999/1000"));
}

// Failed instances count neither as progress nor as remaining work.
TEST(Render, ProgressCountsStoredInstances) {
  ProgressView view = Progress();
  view.stored = 100;
  view.failed = 320;
  EXPECT_THAT(RenderProgressLine(view, kRate),
              HasSubstr("100/1000 (10%), 10.0 files/s, 1.0 MiB/s, ETA 0:58, 320 failed"));
}

TEST(Render, ProgressLine) {
  ProgressView view = Progress();
  EXPECT_EQ(RenderProgressLine(view, kRate),
            "1:15  420/1000 (42%), 10.0 files/s, 1.0 MiB/s, ETA 0:58, 2 associations\n");
  view.failed = 1;
  view.pending = 579;
  view.associations = 1;
  view.note = "x" + kEvil;
  EXPECT_EQ(RenderProgressLine(view, std::nullopt),
            "1:15  420/1000 (42%), - files/s, 1 failed, 1 association; x" + kTamed + "\n");
  view = Progress();
  view.total_known = false;
  EXPECT_EQ(RenderProgressLine(view, kRate),
            "1:15  420 of 1000 found so far, 10.0 files/s, 1.0 MiB/s, 2 associations\n");
}

TEST(Render, Instances) {
  EXPECT_EQ(RenderInstance({0, "/data/a.dcm", InstanceResult::kStored, "", 1200us}, kPipe),
            "[0] stored  /data/a.dcm (1.2 ms)\n");
  EXPECT_EQ(RenderInstance({12, "/data/a.dcm", InstanceResult::kStoredWithWarning, "B000", 12ms}, kPipe),
            "[12] warning /data/a.dcm: B000 (12 ms)\n");
  EXPECT_EQ(RenderInstance({1, kEvil, InstanceResult::kFailed, kEvil, 12s}, kTerminal),
            "[1] \x1b[31mfailed \x1b[0m " + kTamed + ": " + kTamed + " (12 s)\n");
  EXPECT_EQ(RenderInstance({1, "a", InstanceResult::kDelayed, "A700", 0s}, kPipe), "[1] delayed a: A700 (0.0 ms)\n");
}

TEST(Render, Warnings) {
  EXPECT_EQ(RenderWarning("x is " + kEvil, kPipe), "Warning: x is " + kTamed + "\n");
  EXPECT_EQ(RenderWarning("x", kTerminal), "\x1b[33mWarning:\x1b[0m x\n");
}

SummaryView Summary() {
  SummaryView view;
  view.session = kSession;
  view.destination = "ARCHIVE:104@pacs.example.org";
  view.calling_ae = "RUST_SCU";
  view.total = view.successful = 1000;
  view.bytes = 3ULL << 29;
  view.elapsed = 185s;
  view.average = 23ms;
  view.mib_per_second = 8.3027;
  view.threads = 4;
  view.studies = 25;
  view.associations = 25;
  view.log_file = "out/dicom_sender_5e0c.log";
  view.summary_file = "out/dicom_sender_summary_5e0c.json";
  return view;
}

TEST(Render, SummaryOfACompleteSuccess) {
  EXPECT_EQ(RenderSummary(Summary(), kPipe),
            "\n"
            "Complete: 1000 instances stored\n"
            "  Session     5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a\n"
            "  Destination ARCHIVE:104@pacs.example.org (calling AE title RUST_SCU)\n"
            "  Total       1000 files\n"
            "  Successful  1000\n"
            "  Failed      0\n"
            "  Skipped     0\n"
            "  Warnings    0\n"
            "  Size        1.5 GiB\n"
            "  Time        3 min 05 s\n"
            "  Average     23 ms per instance\n"
            "  Throughput  8.3 MiB/s\n"
            "  Threads     4\n"
            "  Studies     25, over 25 associations\n"
            "  Log         out/dicom_sender_5e0c.log\n"
            "  JSON        out/dicom_sender_summary_5e0c.json\n");
}

TEST(Render, SummaryWithFailures) {
  SummaryView view = Summary();
  view.successful = 900;
  view.failed = 95;
  view.skipped = 5;
  view.warnings = 2;
  view.retries = 12;
  view.ignored = 1;
  view.failures_file = "out/f.ndjson";
  view.failure_reasons = {
      {"A900 (dataset does not match SOP class)", 60}, {kEvil, 9}, {"c", 8}, {"d", 7}, {"e", 6}, {"f", 4}};
  view.other_failure_reasons = 1;
  EXPECT_EQ(RenderSummary(view, kTerminal),
            "\n"
            "❌ \x1b[31m95 of 1000 instances failed\x1b[0m\n"
            "  Session     5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a\n"
            "  Destination ARCHIVE:104@pacs.example.org (calling AE title RUST_SCU)\n"
            "  Total       1000 files\n"
            "  Successful  \x1b[32m900\x1b[0m\n"
            "  Failed      \x1b[31m95\x1b[0m\n"
            "  Skipped     5\n"
            "  Warnings    \x1b[33m2\x1b[0m\n"
            "  Ignored     1 file\n"
            "  Size        1.5 GiB\n"
            "  Time        3 min 05 s\n"
            "  Average     23 ms per instance\n"
            "  Throughput  8.3 MiB/s\n"
            "  Threads     4\n"
            "  Studies     25, over 25 associations\n"
            "  Retries     12\n"
            "  Log         out/dicom_sender_5e0c.log\n"
            "  JSON        out/dicom_sender_summary_5e0c.json\n"
            "  Failures    out/f.ndjson\n"
            "Failures by reason\n"
            "        60  A900 (dataset does not match SOP class)\n"
            "         9  " +
                kTamed +
                "\n"
                "         8  c\n"
                "         7  d\n"
                "         6  e\n"
                "            and 2 more reasons\n");
}

TEST(Render, SummaryHeadlines) {
  const auto headline = [](const SummaryView& view, const TerminalStyle& style) {
    const std::string text = RenderSummary(view, style);
    return text.substr(1, text.find('\n', 1) - 1);
  };
  SummaryView view = Summary();
  EXPECT_EQ(headline(view, kTerminal), "✅ \x1b[32mComplete: 1000 instances stored\x1b[0m");
  EXPECT_EQ(headline(view, kPlainTerminal), "Complete: 1000 instances stored");
  view.end = SessionEnd::kInterrupted;
  view.pending = 400;
  EXPECT_EQ(headline(view, kPipe), "Interrupted: 400 of 1000 instances not sent yet");
  EXPECT_THAT(RenderSummary(view, kPipe), HasSubstr("\n  Pending     400\n")) << "aligned with the others";
  view.end_reason = "cancelled by an operator";
  EXPECT_EQ(headline(view, kPipe), "Ended early: cancelled by an operator");
  EXPECT_THAT(RenderSummary(view, kPipe), HasSubstr("\n  Pending     400\n"))
      << "the remaining data is shown nevertheless";
  view.end = SessionEnd::kUnreachable;
  view.end_reason = "no answer" + kEvil;
  EXPECT_EQ(headline(view, kPipe), "Gave up: no answer" + kTamed);
  view.end = SessionEnd::kRefused;
  EXPECT_EQ(headline(view, kPipe), "Refused: no answer" + kTamed);
  EXPECT_EQ(headline({}, kPipe), "No DICOM files were found");
}

TEST(Render, Echo) {
  EXPECT_EQ(RenderEcho({"A:104@h", "ME", "", 12ms}, kPipe), "C-ECHO to A:104@h as ME: success (12 ms)\n");
  EXPECT_EQ(RenderEcho({"A:104@h", "ME", "connection refused", 1ms}, kPipe),
            "C-ECHO to A:104@h as ME: failed: connection refused (1.0 ms)\n");
}

TEST(Render, ResumeCommand) {
  EXPECT_EQ(ResumeCommand(kSession, ".", false), "dicom-sender --resume 5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a");
  EXPECT_EQ(RenderResume("1", "/data/report", false),
            "To resume:\n  dicom-sender --resume 1 --output-dir /data/report\n");
  EXPECT_EQ(RenderResume("", ".", false), "To resume:\n  dicom-sender --resume\n") << "the latest";
}

// A shell must reproduce the exact bytes, and a terminal must not interpret them.
TEST(Render, ResumeCommandForFailedInstances) {
  EXPECT_EQ(RenderResume("1", ".", true),
            "To retry what failed, except for files that the scan found defective:\n"
            "  dicom-sender --resume 1 --retry-failed\n");
}

TEST(Render, ResumeCommandIsQuotedForAShell) {
  for (const std::string dir :
       {"a b", "it's", "$(touch x)", "a;b", "\xC3\xA4", "a\nb\x1B[2J'\\", "\xFF", "-x", "*", "~", "!"}) {
    const std::string command = ResumeCommand("1", dir, false);
    EXPECT_EQ(command.find_first_of("\n\x1B\xFF"), std::string::npos) << command;
    const std::string arguments = command.substr(command.find("--output-dir"));
    const ProcessResult result = RunProcess({"bash", "-c", "printf '%s|' " + arguments}, 20s);
    EXPECT_EQ(result.output, "--output-dir|" + dir + "|") << command << result.errors;
  }
}

TEST(Render, ExternalTextIsSanitizedForTheTerminal) {
  FoundView found;
  found.studies = 1;
  found.first_studies = {{kEvil, 1}};
  found.ignored = {{kEvil, 1}};
  PlanView plan;
  plan.destination = kEvil;
  SummaryView summary = Summary();
  summary.session = summary.destination = summary.calling_ae = summary.log_file = summary.summary_file =
      summary.failures_file = kEvil;
  for (const std::string& text : {RenderSession({kEvil, kEvil, kEvil, kEvil}), RenderFound(found), RenderPlan(plan),
                                  RenderSummary(summary, kPipe), RenderEcho({kEvil, kEvil, kEvil}, kPipe)}) {
    EXPECT_THAT(text, HasSubstr(kTamed));
    EXPECT_EQ(text.find_first_of("\x1B\xFF"), std::string::npos) << text;
    EXPECT_EQ(text.find("\xC2\x9B"), std::string::npos) << text;
  }
}

TEST(ToAscii, ReplacesCharactersNotBytes) { EXPECT_EQ(ToAscii("aä日😀\x1b[0m\n"), "a???\x1b[0m\n"); }

}  // namespace
}  // namespace dicom_sender
