#include "sender/dry_run.h"

#include <poll.h>

#include <map>

#include "client/session_settings.h"
#include "dicom/uid_names.h"
#include "sender/session.h"
#include "worker/core/context_plan.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kLookEvery(5);
constexpr std::size_t kStudiesPerRead = 1000;

ContextNeed ToNeed(const wire::ContextPair& pair) { return {pair.sop_class_uid(), pair.transfer_syntax_uid()}; }

std::uint64_t CountAssociations(Ledger& ledger, SessionKey session) {
  std::uint64_t associations = 0;
  StudyKey after = 0;
  for (;;) {
    const auto studies = ledger.UnsettledStudies(session, after, kStudiesPerRead);
    if (studies.empty()) return associations;
    for (const StudyFeed& study : studies) {
      std::vector<ContextNeed> needs;
      for (const auto& pair : ledger.ContextPairs(study.study, kContextPairsMax)) needs.push_back(ToNeed(pair));
      associations += ContextPlan(needs).associations().size();
    }
    after = studies.back().study;
  }
}

std::vector<PlanCount> ToCounts(const std::map<std::string, std::uint64_t>& files) {
  std::vector<PlanCount> counts;
  counts.reserve(files.size());
  for (const auto& [name, number] : files) counts.push_back({name, number});
  return counts;
}

PlanView PlanOf(Ledger& ledger, SessionKey session, FoundView found) {
  const SessionRecord record = ledger.LoadSession(session);
  PlanView view;
  view.found = std::move(found);
  view.to_send = record.counts.unsettled();
  view.bytes_to_send = record.counts.total_bytes - record.counts.settled_bytes;
  view.broken = record.counts.failed;
  view.duplicates = record.counts.skipped - record.counts.conflicts;
  view.conflicts = record.counts.conflicts;
  view.destination = DestinationText(record.settings.destination());
  view.associations = CountAssociations(ledger, session);
  std::map<std::string, std::uint64_t> sop_classes, transfer_syntaxes;
  std::vector<ContextNeed> needs;
  for (const PairCount& count : ledger.PairCounts(session)) {
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

tl::expected<FoundView, Failure> Index(Session& session, StopSignals& signals, Console& console) {
  const TimePoint begin = MonotonicNow();
  session.StartIndexer();
  while (!session.engine().indexer_ended()) {
    if (signals.count() > 0) return tl::unexpected(Failure{kExitInterrupted, "interrupted; nothing was sent"});
    if (const auto failure = session.engine().failure()) return tl::unexpected(*failure);
    pollfd wait{signals.fd(), POLLIN, 0};
    poll(&wait, 1, static_cast<int>(kLookEvery.count()));
    signals.Clear();
    const IndexerProgress& index = session.engine().index_progress();
    console.Indexing({.elapsed = MonotonicNow() - begin, .files = index.files, .found = index.found}, MonotonicNow());
  }
  if (const auto failure = session.engine().indexer_failure())
    return tl::unexpected(Failure{kExitInternal, *failure});
  const auto status = session.Status();
  if (!status) return tl::unexpected(status.error());
  if (status->total() == 0) return tl::unexpected(NothingFound(*status));
  return session.Found(*status);
}

}  // namespace

int RunDry(const SenderOptions& options, StopSignals& signals, Console& console) {
  auto session = Session::Open(options, console);
  if (!session) {
    console.Error(session.error().sentence);
    return session.error().exit_status;
  }
  auto found = Index(**session, signals, console);
  console.EndProgress();
  (*session)->Stop();
  if (!found) {
    console.Error(found.error().sentence);
    (*session)->RemoveFiles(/*all=*/true);
    return found.error().exit_status;
  }
  console.Print(RenderPlan(PlanOf((*session)->ledger(), (*session)->key(), *std::move(found))));
  (*session)->RemoveFiles(/*all=*/false);
  return kExitAllStored;
}

}  // namespace dicom_sender
