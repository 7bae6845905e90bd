#include "worker/sending/study_sender.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/text.h"
#include "common/time.h"
#include "proto/limits.h"
#include "proto/validate.h"
#include "proto/words.h"
#include "worker/association/context_plan.h"
#include "worker/sending/outcomes.h"
#include "worker/sending/payload.h"
#include "worker/sending/sending_failures.h"
#include "worker/sending/sending_meters.h"
#include "worker/sending/source_file.h"
#include "worker/sending/study_association.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kAheadMax = 4;  // files that are opened ahead
constexpr unsigned kLossesMax = 3;    // in a row, without a response between them

std::vector<ContextNeed> NeedsOf(const wire::LeaseGrant& grant) {
  std::vector<ContextNeed> needs;
  for (const auto& pair : grant.pairs()) needs.push_back({pair.sop_class_uid(), pair.transfer_syntax_uid()});
  return needs;
}

// An instance that was sent and has no response yet.
struct InFlight {
  std::shared_ptr<const wire::Page> page;
  const wire::Instance* instance = nullptr;
  std::string path;
  std::uint16_t message_id = 0;
  TimePoint begin;
  bool decoded = false;
};

class StudySender {
 public:
  StudySender(const wire::LeaseGrant& grant, StudyPort& port, const SendingContext& context)
      : grant_(grant), port_(port), context_(context), plan_(NeedsOf(grant)), association_(grant, context) {}

  wire::GiveBack Run() {
    for (part_ = 0; part_ < plan_.associations().size(); ++part_) {
      const bool goes_on = SendPart();
      ahead_.clear();
      if (!CloseAssociation() || !goes_on) break;
    }
    // A small study may end before it has lost three associations. Its losses say as much about the destination.
    if (losses_ > 0 && !responded_) GiveBackAsLost();
    return std::move(give_back_);
  }

 private:
  // Functions that return a bool return false if the study must not continue; then give_back_ has the reason.
  bool SendPart();
  bool SendPage(const std::shared_ptr<const wire::Page>& page);
  bool SendAhead(std::size_t left);
  bool SendInstance(Opened opened);
  bool OpenAssociation();
  bool OnAssociationFailure(const AssociationFailure& failure);
  bool MakeRoom(const wire::Instance& instance);
  bool Settle(std::size_t left);
  void OnResponse(const StoreResponse& response);
  bool OnSendFailure(const Opened& opened, const StoreFailure& failure, Duration duration);
  bool OnLoss(const StoreFailure& failure, bool of_window);
  bool GiveBackAsLost();
  void TakeArrived();
  void TakeBackUnsent();
  bool CloseAssociation();

  tl::expected<SourceFile, SourceProblem> Open(const std::string& path, const wire::Instance& instance);
  tl::expected<Payload, CannotSend> Prepare(const Opened& opened);
  void TellUnanswered(const StoreFailure& failure, bool alone);
  void Tell(const std::string& path, const wire::Instance& instance, wire::Outcome outcome);
  void TellNotSent(const std::string& path, const wire::Instance& instance, const CannotSend& why);
  bool GiveBackOfDestination(wire::GiveBack::Reason reason, const std::string& detail, const char* failure);
  bool GiveBack(wire::GiveBack::Reason reason, const std::string& detail = {}, const char* failure = "");
  std::string Named(const std::string& what) const;

  const wire::LeaseGrant& grant_;
  StudyPort& port_;
  const SendingContext& context_;
  const ContextPlan plan_;
  std::size_t part_ = 0;
  std::vector<bool> tried_;  // by index, because the pages of the next part list unsettled instances again
  std::deque<Opened> ahead_;
  std::vector<InFlight> in_flight_;  // at most the association's window, in the order of sending
  StudyAssociation association_;
  bool responded_ = false;  // under this lease
  unsigned losses_ = 0;     // in a row
  StoreFailure last_loss_;
  bool gives_back_ = false;   // give_back_ has its reason
  wire::GiveBack give_back_;  // DONE by default
};

bool StudySender::SendPart() {
  // The first page belongs to the grant, which outlives this object.
  std::shared_ptr<const wire::Page> page(std::shared_ptr<const wire::Page>(), &grant_.first_page());
  bool have_page = part_ == 0;
  for (std::uint32_t from = 0;; from = page->next_index()) {
    if (!have_page) {
      if (association_.is_open()) association_->Flush();
      auto fetched = port_.FetchPage(from);
      if (!fetched) return GiveBack(wire::GiveBack::DRAINING);
      page = std::make_shared<const wire::Page>(*std::move(fetched));
    }
    have_page = false;
    if (!SendPage(page)) return false;
    if (page->next_index() <= from) return SendAhead(0);
  }
}

bool StudySender::SendPage(const std::shared_ptr<const wire::Page>& page) {
  std::map<std::uint32_t, std::string> roots;
  for (const auto& root : page->roots()) roots[root.id()] = root.path();
  for (const auto& instance : page->instances()) {
    const auto place = plan_.AssociationOf(instance.sop_class_uid(), instance.transfer_syntax_uid());
    // The instance was found after the study was leased. It stays unsettled, and the study is leased again with a
    // plan that has it.
    if (!place && grant_.pairs_size() < kContextPairsMax) continue;
    // Instances without a place in the plan belong to the first part, which reports the reason.
    if (place.value_or(0) != part_) continue;
    if (instance.index() >= tried_.size()) tried_.resize(instance.index() + std::size_t{1});
    if (tried_[instance.index()]) continue;
    tried_[instance.index()] = true;
    std::string path = JoinPath(roots[instance.root()], instance.path());
    auto source = Open(path, instance);
    ahead_.push_back({page, &instance, std::move(path), std::move(source)});
    if (!SendAhead(kAheadMax)) return false;
  }
  return true;
}

// Sends the opened instances until only `left` of them remain.
bool StudySender::SendAhead(std::size_t left) {
  while (ahead_.size() > left) {
    if (port_.StopRequested()) return GiveBack(wire::GiveBack::DRAINING);
    Opened opened = std::move(ahead_.front());
    ahead_.pop_front();
    if (!SendInstance(std::move(opened))) return false;
  }
  return true;
}

bool StudySender::SendInstance(Opened opened) {
  const wire::Instance& instance = *opened.instance;
  if (!opened.source) {
    TellNotSent(opened.path, instance, Unreadable(opened.source.error()));
    return true;
  }
  // Repeated only while no byte of this instance has been sent.
  for (;;) {
    if (!MakeRoom(instance)) return false;
    if (port_.StopRequested()) return GiveBack(wire::GiveBack::DRAINING);  // the wait may have been long
    const auto payload = Prepare(opened);
    if (!payload) {
      TellNotSent(opened.path, instance, payload.error());
      return true;
    }
    // Encoding may have taken long, and does not count as progress of the lease.
    if (payload->encoded.valid() && port_.StopRequested()) return GiveBack(wire::GiveBack::DRAINING);
    const TimePoint begin = MonotonicNow();
    const auto sent = association_.Send({.context_id = payload->choice.context_id,
                                         .sop_class_uid = instance.sop_class_uid(),
                                         .sop_instance_uid = instance.sop_instance_uid(),
                                         .dataset = payload->bytes});
    if (sent) {
      in_flight_.push_back(
          {std::move(opened.page), &instance, std::move(opened.path), *sent, begin, payload->choice.decode});
      return !instance.alone() || Settle(0);
    }
    if (!OnSendFailure(opened, sent.error(), MonotonicNow() - begin)) return false;
    if (sent.error().instance_touched || sent.error().association_usable) return true;
  }
}

// Ensures an open association with room for the instance, or with nothing in flight if the instance must be sent
// alone.
bool StudySender::MakeRoom(const wire::Instance& instance) {
  for (;;) {
    if (!OpenAssociation()) return false;
    const std::size_t others = instance.alone() ? 0 : association_->window() - std::size_t{1};
    if (in_flight_.size() <= others) return true;
    if (!Settle(others)) return false;
    if (association_.is_open()) return true;
  }
}

// Waits until only `left` instances lack a response, or the association is lost.
bool StudySender::Settle(std::size_t left) {
  while (in_flight_.size() > left) {
    const auto response = association_.Receive();
    if (response) {
      OnResponse(*response);
      continue;
    }
    association_.Drop();
    const bool of_window =
        association_.WindowIsToBlame(IsAbortOrLoss(response.error().kind), response.error().reason);
    TellUnanswered(response.error(), /*alone=*/in_flight_.size() == 1 && !of_window);
    if (response.error().kind == StoreFailureKind::kCancelled) return GiveBack(wire::GiveBack::DRAINING);
    return OnLoss(response.error(), of_window);
  }
  return true;
}

bool StudySender::OnSendFailure(const Opened& opened, const StoreFailure& failure, Duration duration) {
  if (!failure.association_usable) TakeArrived();
  const bool of_window =
      !association_.is_open() && association_.WindowIsToBlame(IsAbortOrLoss(failure.kind), failure.reason);
  const bool alone = in_flight_.empty() && !of_window;
  TellUnanswered(failure, /*alone=*/false);
  switch (failure.kind) {
    case StoreFailureKind::kCancelled:
      return GiveBack(wire::GiveBack::DRAINING);
    case StoreFailureKind::kInvalidRequest:
      TellNotSent(opened.path, *opened.instance, {.reason = failure.reason});
      return true;
    case StoreFailureKind::kFileChanged:
    case StoreFailureKind::kFileUnreadable:
      TellNotSent(opened.path, *opened.instance,
                  Unreadable({failure.reason, failure.kind == StoreFailureKind::kFileUnreadable}));
      return true;
    default:
      break;
  }
  if (failure.instance_touched) {
    Tell(opened.path, *opened.instance, OutcomeOf(*opened.instance, LossKind(alone), failure.reason, duration));
  }
  return OnLoss(failure, of_window);
}

// Takes the responses that arrived before the association ended.
void StudySender::TakeArrived() {
  while (!in_flight_.empty()) {
    const auto response = association_.Receive();
    if (!response) break;
    OnResponse(*response);
  }
  association_.Drop();
}

// Instances of which nothing was sent stay unsettled.
void StudySender::TakeBackUnsent() {
  for (const std::uint16_t id : association_->Unsend()) {
    std::erase_if(in_flight_, [id](const InFlight& instance) { return instance.message_id == id; });
  }
}

// Reports the instances that were in flight when the association was lost.
void StudySender::TellUnanswered(const StoreFailure& failure, bool alone) {
  if (association_.is_open()) return;  // only one file failed, so the association stays open
  const auto lost = std::exchange(in_flight_, {});
  if (failure.kind == StoreFailureKind::kCancelled) return;  // no one waits for the outcomes
  for (const InFlight& instance : lost) {
    auto outcome = OutcomeOf(*instance.instance, LossKind(alone), failure.reason, MonotonicNow() - instance.begin);
    outcome.set_may_be_stored(true);
    Tell(instance.path, *instance.instance, std::move(outcome));
  }
}

void StudySender::OnResponse(const StoreResponse& response) {
  losses_ = 0;
  responded_ = true;
  association_.NoteAnswer();
  const auto it = std::ranges::find(in_flight_, response.message_id, &InFlight::message_id);
  const InFlight answered = std::move(*it);
  in_flight_.erase(it);
  const Duration duration = MonotonicNow() - answered.begin;
  context_.metrics.cstore_duration_seconds.Observe(Seconds(duration));
  auto outcome = OutcomeOf(*answered.instance, wire::Outcome::RESPONDED, response.error_comment, duration);
  outcome.set_status(response.status);
  outcome.set_transcoded(answered.decoded);
  Tell(answered.path, *answered.instance, std::move(outcome));
}

bool StudySender::OnLoss(const StoreFailure& failure, bool of_window) {
  spdlog::warn("Thread {}: {}", context_.thread, Named("association lost: " + failure.reason));
  context_.metrics.association_failures_total[FailureName(failure.kind)].Increment();
  if (of_window) return true;
  last_loss_ = failure;
  return ++losses_ < kLossesMax || GiveBackAsLost();
}

bool StudySender::GiveBackAsLost() {
  const std::string times = losses_ == 1 ? "" : fmt::format(" {} times in a row", losses_);
  return GiveBackOfDestination(wire::GiveBack::DESTINATION_TRANSIENT,
                               Named(fmt::format("association lost{}: {}", times, last_loss_.reason)),
                               FailureName(last_loss_.kind));
}

bool StudySender::OpenAssociation() {
  if (association_.is_open() && association_.IsUsedUp() && !CloseAssociation()) return false;
  if (association_.is_open()) return true;
  if (const auto opened = association_.Open(plan_.associations()[part_]); !opened) {
    return OnAssociationFailure(opened.error());
  }
  port_.AssociationOpened();
  return true;
}

bool StudySender::OnAssociationFailure(const AssociationFailure& failure) {
  if (failure.kind == AssociationFailureKind::kCancelled) return GiveBack(wire::GiveBack::DRAINING);
  context_.metrics.association_failures_total[FailureName(failure.kind)].Increment();
  // Without a connection, a C-ECHO would fail, too.
  if (!failure.connected && failure.kind != AssociationFailureKind::kInvalidRequest) {
    return GiveBack(ReasonOf(failure), Named(failure.reason), FailureName(failure.kind));
  }
  return GiveBackOfDestination(ReasonOf(failure), Named(failure.reason), FailureName(failure.kind));
}

// A C-ECHO shows whether only this study's association fails.
bool StudySender::GiveBackOfDestination(wire::GiveBack::Reason reason, const std::string& detail,
                                        const char* failure) {
  if (gives_back_) return false;
  const TimeSpent spent(context_.metrics.association_seconds);
  const Verification echo = Verify(context_.associate, RequestFor(grant_, {}));
  if (echo.cancelled) return GiveBack(wire::GiveBack::DRAINING);
  give_back_.set_echo_answered(echo.answered);
  return GiveBack(reason, detail, failure);
}

tl::expected<SourceFile, SourceProblem> StudySender::Open(const std::string& path, const wire::Instance& instance) {
  const TimeSpent spent(context_.metrics.storage_seconds);
  return OpenSourceFile(path, instance);
}

tl::expected<Payload, CannotSend> StudySender::Prepare(const Opened& opened) {
  return PreparePayload(opened, {.proposed = plan_.associations()[part_],
                                 .association = *association_,
                                 .metrics = context_.metrics,
                                 .thread = context_.thread});
}

// Waits for the instances in flight first.
bool StudySender::CloseAssociation() {
  if (association_.is_open() && gives_back_) TakeBackUnsent();
  const bool goes_on = Settle(0);
  if (association_.is_open()) association_.Release();
  return goes_on;
}

void StudySender::Tell(const std::string& path, const wire::Instance& instance, wire::Outcome outcome) {
  context_.observer.OnOutcome(context_.thread, {path, instance.sop_instance_uid()}, outcome);
  port_.Report(std::move(outcome));
}

void StudySender::TellNotSent(const std::string& path, const wire::Instance& instance, const CannotSend& why) {
  auto outcome = OutcomeOf(instance, why.kind, why.reason);
  outcome.set_storage_away(why.storage_away);
  Tell(path, instance, std::move(outcome));
}

// The first reason counts.
bool StudySender::GiveBack(wire::GiveBack::Reason reason, const std::string& detail, const char* failure) {
  if (std::exchange(gives_back_, true)) return false;
  give_back_.set_reason(reason);
  give_back_.set_detail(LimitedReason(detail));
  give_back_.set_failure(failure);
  return false;
}

std::string StudySender::Named(const std::string& what) const {
  return fmt::format("{} (calling AE title {}): {}", DestinationText(grant_.destination()),
                     grant_.destination().calling_ae(), what);
}

}  // namespace

wire::GiveBack SendStudy(const wire::LeaseGrant& grant, StudyPort& port, const SendingContext& context) {
  const TimePoint begin = MonotonicNow();
  const ScopedLogFields fields({.session = grant.session(), .study = grant.study_instance_uid()});
  spdlog::info("Thread {} starting with study {}", context.thread, grant.study_instance_uid());
  wire::GiveBack give_back = StudySender(grant, port, context).Run();
  context.metrics.study_duration_seconds.Observe(Seconds(MonotonicNow() - begin));
  if (give_back.reason() == wire::GiveBack::DONE) {
    spdlog::info("Thread {} finished with study {}", context.thread, grant.study_instance_uid());
  } else {
    // Without a reason, a drain, a pause, or a cancellation caused it.
    const std::string& detail = give_back.detail();
    spdlog::log(detail.empty() ? spdlog::level::info : spdlog::level::warn, "Thread {} gives study {} back: {}",
                context.thread, grant.study_instance_uid(), detail.empty() ? "stop requested" : detail);
  }
  return give_back;
}

}  // namespace dicom_sender
