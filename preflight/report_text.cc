#include <fmt/format.h>

#include <map>

#include "common/text.h"
#include "dicom/uid_names.h"
#include "preflight/report_writers.h"
#include "preflight/troubles.h"
#include "proto/words.h"

namespace dicom_sender {
namespace {

std::string Counted(std::uint64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}
std::string Instances(std::uint64_t count) { return Counted(count, "instance", "instances"); }

std::vector<PlanCount> ToCounts(const std::map<std::string, std::uint64_t>& files) {
  std::vector<PlanCount> counts;
  counts.reserve(files.size());
  for (const auto& [name, number] : files) counts.push_back({name, number});
  return counts;
}

PlanView PlanOf(const Preflight& preflight) {
  const SessionRecord& session = preflight.session;
  PlanView view;
  view.found = {.files = session.counts.total,
                .bytes = session.counts.total_bytes,
                .studies = session.studies,
                .first_studies = preflight.first_studies,
                .ignored = IgnoredByReason(session)};
  view.to_send = session.counts.unsettled();
  view.bytes_to_send = session.counts.total_bytes - session.counts.settled_bytes;
  view.broken = session.counts.failed;
  view.duplicates = session.counts.skipped - session.counts.conflicts;
  view.conflicts = session.counts.conflicts;
  view.destination = DestinationText(session.settings.destination());
  view.associations = preflight.studies.associations;
  std::map<std::string, std::uint64_t> sop_classes, transfer_syntaxes;
  ContextNeeds needs;
  for (const PairCount& count : preflight.pairs) {
    sop_classes[NameOfUid(count.pair.sop_class_uid())] += count.instances;
    transfer_syntaxes[NameOfUid(count.pair.transfer_syntax_uid())] += count.instances;
    needs.push_back(ToNeed(count.pair));
  }
  view.sop_classes = ToCounts(sop_classes);
  view.transfer_syntaxes = ToCounts(transfer_syntaxes);
  const ContextPlan plan(needs);
  for (const auto& association : plan.associations()) {
    for (const ProposedContext& context : association) {
      PlanContext& line = view.contexts.emplace_back();
      line.sop_class = NameOfUid(context.abstract_syntax);
      for (const std::string& syntax : context.transfer_syntaxes) line.transfer_syntaxes.push_back(NameOfUid(syntax));
    }
  }
  return view;
}

std::string OutcomeLine(const PairOutcome& outcome) {
  std::string line = fmt::format("    {}, {}: {}", NameOfUid(outcome.pair.sop_class_uid),
                                 NameOfUid(outcome.pair.transfer_syntax_uid), Instances(outcome.instances));
  if (outcome.verdict.fate == Fate::kDecoded) {
    line += fmt::format(", sent as {}", NameOfUid(outcome.verdict.transfer_syntax_uid));
  } else if (!outcome.verdict.reason.empty()) {
    line += fmt::format(": {}", outcome.verdict.reason);
  }
  return ToPrintable(line) + "\n";
}

void WriteAnswers(const Preflight& preflight, Output& out) {
  if (!preflight.query_failure.empty()) {
    out.Write(fmt::format("\nNo answer: {}\n", ToPrintable(preflight.query_failure)));
  }
  if (!preflight.asked) return;
  out.Write(fmt::format("\nAnswer of {}, asked over {}{}\n",
                        ToPrintable(DestinationText(preflight.session.settings.destination())),
                        Counted(preflight.query_associations, "association", "associations"),
                        preflight.studies.merged ? ", for all studies together" : ""));
  const auto section = [&](Fate fate, const char* label, const char* explanation, bool lists) {
    const std::uint64_t instances = InstancesWith(preflight, fate);
    if (instances == 0) return;
    out.Write(fmt::format("  {:<11}{}{}\n", label, Instances(instances), explanation));
    for (const PairOutcome& outcome : preflight.outcomes) {
      if (lists && outcome.verdict.fate == fate) out.Write(OutcomeLine(outcome));
    }
  };
  section(Fate::kAsIs, "As is", "", /*lists=*/false);
  section(Fate::kDecoded, "Decoded", ", because it refuses their transfer syntax", /*lists=*/true);
  section(Fate::kRefused, "Refused", "", /*lists=*/true);
  section(Fate::kUnknown, "Unknown", "", /*lists=*/true);
}

// Writes the title only if the list is not empty.
class FileList {
 public:
  FileList(const char* title, Output& out) : title_(title), out_(out) {}

  void Add(const std::string& path, const std::string& reason) {
    if (!is_begun_) out_.Write(fmt::format("\n{}\n", title_));
    is_begun_ = true;
    out_.Write(fmt::format("  {}: {}\n", ToPrintable(path), ToPrintable(reason)));
  }

 private:
  const char* title_;
  Output& out_;
  bool is_begun_ = false;
};

void WriteTroubles(const Preflight& preflight, LedgerReader& ledger, Output& out) {
  FileList defective("Defective files", out);
  ForEachDefective(ledger, preflight.session,
                   [&](const ReportedInstance& file) { defective.Add(file.path, file.reason); });
  FileList conflicts("Conflicts", out);
  ForEachConflict(ledger, preflight.session,
                  [&](const ReportedInstance& file) { conflicts.Add(file.path, file.reason); });
  FileList not_read("NOT READ", out);
  ForEachNotRead(ledger, preflight.session, [&](const UnreadPath& unread) {
    not_read.Add(unread.is_folder ? unread.path + "/" : unread.path, unread.reason);
  });
}

std::string Conclusion(const Preflight& preflight) {
  const Shortfall shortfall = ShortfallOf(preflight);
  std::vector<std::string> parts;
  const auto add = [&parts](std::uint64_t count, const std::string& words) {
    if (count > 0) parts.push_back(words);
  };
  add(shortfall.refused, fmt::format("{} refused", Instances(shortfall.refused)));
  add(shortfall.defective, Counted(shortfall.defective, "defective file", "defective files"));
  add(shortfall.conflicts, Counted(shortfall.conflicts, "conflict", "conflicts"));
  add(shortfall.not_read,
      fmt::format("{} NOT READ", Counted(shortfall.not_read, "file or folder", "files or folders")));
  std::string text;
  if (!parts.empty()) text = fmt::format("Would not arrive: {}\n", fmt::join(parts, ", "));
  if (!preflight.query_failure.empty()) {
    text += fmt::format("Unknown: {}\n", Instances(preflight.session.counts.unsettled()));
  }
  if (shortfall.unknown > 0) text += fmt::format("Unknown: {}\n", Instances(shortfall.unknown));
  if (text.empty() && preflight.asked) {
    text = fmt::format("Nothing prevents sending {}\n", Instances(preflight.session.counts.unsettled()));
  }
  if (preflight.session.settings.destination().host().empty()) {
    text += "To see what the destination accepts, add -a AE -H HOST -p PORT\n";
  }
  return text;
}

}  // namespace

void WriteText(const Preflight& preflight, LedgerReader& ledger, const ReportContext& context, Output& out) {
  out.Write(RenderPlan(PlanOf(preflight)));
  WriteAnswers(preflight, out);
  WriteTroubles(preflight, ledger, out);
  out.Write("\n");
  out.Write(Conclusion(preflight));
  out.Write("Dry run: nothing was sent\n");
  if (context.send_command.empty()) return;
  out.Write(fmt::format("{}:\n  {}\n",
                        context.scan_is_kept ? "The scan is kept; to send what it found" : "To send what was found",
                        context.send_command));
}

}  // namespace dicom_sender
