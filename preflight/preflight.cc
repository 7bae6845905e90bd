#include "preflight/preflight.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <map>
#include <utility>

#include "cli/exit_status.h"
#include "common/wake_event.h"
#include "dicom/network/tcp_association.h"
#include "dicom/transfer_syntax.h"
#include "preflight/troubles.h"
#include "proto/words.h"
#include "worker/association/association_request.h"

namespace dicom_sender {
namespace {

std::vector<StudyLine> FirstStudies(LedgerReader& ledger, SessionKey session) {
  std::vector<StudyLine> lines;
  for (const StudyRecord& study : ledger.Studies(session, 0, kStudyLinesMax)) {
    lines.push_back({study.uid, study.counts.total});
  }
  return lines;
}

// Needed if the same pair is accepted for one kind of study and refused for another.
std::vector<PairOutcome> CountByStudy(LedgerReader& ledger, SessionKey session,
                                      const std::vector<ContextNeeds>& kinds, const std::vector<Verdicts>& by_kind) {
  constexpr std::size_t kPage = 1000;
  std::map<ContextNeeds, const Verdicts*> verdicts_of;
  for (std::size_t i = 0; i < kinds.size(); ++i) verdicts_of[kinds[i]] = &by_kind[i];
  std::map<std::pair<ContextNeed, Verdict>, std::uint64_t> counts;
  ForEachStudyToSend(ledger, session, [&](StudyKey study, const ContextNeeds& needs) {
    const Verdicts& verdicts = *verdicts_of.at(needs);
    for (std::uint32_t from = 0;;) {
      const wire::Page page = ledger.LoadPage(study, 0, from, kPage);
      for (const auto& instance : page.instances()) {
        const ContextNeed pair{instance.sop_class_uid(), instance.transfer_syntax_uid()};
        ++counts[{pair, VerdictOn(pair, verdicts)}];
      }
      if (page.next_index() <= from) return;
      from = page.next_index();
    }
  });
  std::vector<PairOutcome> outcomes;
  outcomes.reserve(counts.size());
  for (const auto& [outcome, instances] : counts) outcomes.push_back({outcome.first, outcome.second, instances});
  return outcomes;
}

void TakeAnswers(Preflight& preflight, LedgerReader& ledger, const DestinationAnswers& answers) {
  std::vector<Verdicts> by_kind;
  for (std::size_t i = 0; i < preflight.studies.kinds.size(); ++i) {
    by_kind.push_back(Judge(preflight.studies.kinds[i], answers.by_kind[i], CanDecode));
  }
  preflight.asked = true;
  preflight.query_associations = answers.associations;
  auto outcomes = OutcomesOf(preflight.pairs, by_kind);
  preflight.outcomes =
      outcomes ? *std::move(outcomes) : CountByStudy(ledger, preflight.session.key, preflight.studies.kinds, by_kind);
  spdlog::info(
      "The destination's answer (associations: {}): {} instances would be sent as they are, {} decoded, {} not "
      "accepted",
      answers.associations, InstancesWith(preflight, Fate::kAsIs), InstancesWith(preflight, Fate::kDecoded),
      InstancesWith(preflight, Fate::kRefused) + InstancesWith(preflight, Fate::kUnknown));
}

}  // namespace

Preflight MakePreflight(LedgerReader& ledger, SessionRecord session, const Associate& associate) {
  Preflight preflight;
  preflight.first_studies = FirstStudies(ledger, session.key);
  preflight.pairs = ledger.PairCounts(session.key);
  preflight.studies = FindStudyKinds(ledger, session.key, preflight.pairs);
  preflight.session = std::move(session);
  const wire::OpenSession& settings = preflight.session.settings;
  const std::string destination = DestinationText(settings.destination());
  if (destination.empty() || preflight.pairs.empty()) return preflight;
  const AssociationRequest request = RequestFor(settings.destination(), settings.send_options(), {});
  const auto answers = AskDestination(preflight.studies.kinds, request, associate);
  if (answers) {
    TakeAnswers(preflight, ledger, *answers);
    return preflight;
  }
  preflight.query_cancelled = answers.error().cancelled;
  preflight.query_failure = fmt::format("{} (calling AE title {}): {}", destination,
                                        settings.destination().calling_ae(), answers.error().reason);
  spdlog::error("{}", preflight.query_failure);
  return preflight;
}

Preflight MakePreflight(LedgerReader& ledger, SessionRecord session, std::stop_token stop) {
  WakeEvent cancel;
  const std::stop_callback on_stop(std::move(stop), [&cancel] { cancel.Raise(); });
  SendingProgress progress;
  return MakePreflight(ledger, std::move(session), [&](const AssociationRequest& request) {
    return RequestAssociation(request, progress, &cancel, {});
  });
}

std::uint64_t InstancesWith(const Preflight& preflight, Fate fate) {
  std::uint64_t instances = 0;
  for (const PairOutcome& outcome : preflight.outcomes) {
    if (outcome.verdict.fate == fate) instances += outcome.instances;
  }
  return instances;
}

Shortfall ShortfallOf(const Preflight& preflight) {
  return {.refused = InstancesWith(preflight, Fate::kRefused),
          .unknown = InstancesWith(preflight, Fate::kUnknown),
          .defective = preflight.session.counts.failed,
          .conflicts = preflight.session.counts.conflicts,
          .not_read = CountNotRead(preflight.session)};
}

int ExitStatusOf(const Preflight& preflight) {
  if (preflight.query_cancelled) return kExitInterrupted;
  if (!preflight.query_failure.empty()) return kExitDestination;
  return ShortfallOf(preflight).total() == 0 ? kExitAllStored : kExitSomeFailed;
}

}  // namespace dicom_sender
