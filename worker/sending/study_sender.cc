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
#include "dicom/dimse_status.h"
#include "dicom/transcode/padding.h"
#include "dicom/transcode/transcoder.h"
#include "dicom/transfer_syntax.h"
#include "proto/limits.h"
#include "proto/validate.h"
#include "proto/words.h"
#include "worker/association/association_request.h"
#include "worker/association/context_plan.h"
#include "worker/sending/source_file.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kAheadMax = 4;  // files that are open before it is their turn
constexpr unsigned kLossesMax = 3;    // in a row, without a response between them

const char* FailureName(AssociationFailureKind kind) {
  switch (kind) {
    case AssociationFailureKind::kResolve:
      return "resolve";
    case AssociationFailureKind::kRefused:
      return "refused";
    case AssociationFailureKind::kUnreachable:
      return "unreachable";
    case AssociationFailureKind::kTimedOut:
      return "timeout";
    case AssociationFailureKind::kRejectedPermanent:
      return "rejected_permanent";
    case AssociationFailureKind::kRejectedTransient:
      return "rejected_transient";
    case AssociationFailureKind::kAborted:
      return "aborted";
    case AssociationFailureKind::kConnectionLost:
      return "connection_lost";
    case AssociationFailureKind::kProtocolError:
      return "protocol_error";
    case AssociationFailureKind::kInvalidRequest:
    case AssociationFailureKind::kCancelled:
      break;
  }
  return "other";
}

const char* FailureName(StoreFailureKind kind) {
  switch (kind) {
    case StoreFailureKind::kAborted:
      return "aborted";
    case StoreFailureKind::kConnectionLost:
      return "connection_lost";
    case StoreFailureKind::kTimedOut:
      return "timeout";
    case StoreFailureKind::kProtocolError:
      return "protocol_error";
    default:
      return "other";
  }
}

wire::GiveBack::Reason ReasonOf(const AssociationFailure& failure) {
  if (failure.kind == AssociationFailureKind::kRejectedTransient) return wire::GiveBack::DESTINATION_BUSY;
  if (failure.kind != AssociationFailureKind::kRejectedPermanent) return wire::GiveBack::DESTINATION_TRANSIENT;
  return failure.explained ? wire::GiveBack::DESTINATION_REFUSED : wire::GiveBack::DESTINATION_REJECTED;
}

template <typename Kind>
bool IsAbortOrLoss(Kind kind) {
  return kind == Kind::kAborted || kind == Kind::kConnectionLost;
}

AssociationRequest RequestFor(const wire::LeaseGrant& grant, std::vector<ProposedContext> contexts) {
  return RequestFor(grant.destination(), grant.send_options(), std::move(contexts));
}

std::vector<ContextNeed> NeedsOf(const wire::LeaseGrant& grant) {
  std::vector<ContextNeed> needs;
  for (const auto& pair : grant.pairs()) needs.push_back({pair.sop_class_uid(), pair.transfer_syntax_uid()});
  return needs;
}

std::uint32_t Microseconds(Duration duration) {
  const auto count = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  return static_cast<std::uint32_t>(std::min<std::int64_t>(count, UINT32_MAX));
}

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Adds its lifetime to a counter of seconds.
class TimeSpent {
 public:
  explicit TimeSpent(prometheus::Counter& counter) : counter_(counter) {}
  ~TimeSpent() { counter_.Increment(Seconds(MonotonicNow() - begin_)); }
  TimeSpent(const TimeSpent&) = delete;
  TimeSpent& operator=(const TimeSpent&) = delete;

 private:
  prometheus::Counter& counter_;
  const TimePoint begin_ = MonotonicNow();
};

// Divides the time of a part of a C-STORE, from its construction to its end, among the counters, and counts its
// bytes.
class StoreMeter {
 public:
  StoreMeter(const SendingProgress& progress, WorkerMetrics& metrics) : progress_(progress), metrics_(metrics) {}
  ~StoreMeter() {
    const double taking = static_cast<double>(progress_.taking_us - taking_us_) / 1e6;
    const double answer = static_cast<double>(progress_.answer_us - answer_us_) / 1e6;
    metrics_.transfer_seconds.Increment(taking);
    metrics_.response_seconds.Increment(answer);
    // A counter must not fall, and the waits are rounded.
    metrics_.storage_seconds.Increment(std::max(0.0, Seconds(MonotonicNow() - begin_) - taking - answer));
    metrics_.bytes_sent_total.Increment(static_cast<double>(progress_.bytes_sent - bytes_sent_));
  }
  StoreMeter(const StoreMeter&) = delete;
  StoreMeter& operator=(const StoreMeter&) = delete;

 private:
  const SendingProgress& progress_;
  WorkerMetrics& metrics_;
  const TimePoint begin_ = MonotonicNow();
  const std::uint64_t bytes_sent_ = progress_.bytes_sent, taking_us_ = progress_.taking_us,
                      answer_us_ = progress_.answer_us;
};

// What goes out for one instance: the file's own bytes, or its dataset encoded anew into a file without a name.
struct Payload {
  ContextChoice choice;
  UniqueFd encoded;
  DatasetBytes bytes;
};

// An instance whose turn has not come: its file is open, and the kernel reads it ahead.
struct Opened {
  std::shared_ptr<const wire::Page> page;  // keeps the instance
  const wire::Instance* instance = nullptr;
  std::string path;
  tl::expected<SourceFile, SourceProblem> source;
};

// Why an instance cannot be sent.
struct CannotSend {
  wire::Outcome::Kind kind = wire::Outcome::NOT_SENDABLE;
  std::string reason;
  bool storage_away = false;  // as in the Outcome
};

CannotSend Unreadable(const SourceProblem& problem) {
  return {wire::Outcome::UNREADABLE, problem.reason, problem.storage_away};
}

// Sent, and not answered yet.
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
      : grant_(grant), port_(port), context_(context), plan_(NeedsOf(grant)) {}
  ~StudySender() { DropAssociation(); }

  wire::GiveBack Run() {
    for (part_ = 0; part_ < plan_.associations().size(); ++part_) {
      const bool goes_on = SendPart();
      ahead_.clear();
      if (!CloseAssociation() || !goes_on) break;
    }
    // A small study has no more to lose than this; it says as much of the destination as a large one.
    if (losses_ > 0 && !responded_) GiveBackAsLost();
    return std::move(give_back_);
  }

 private:
  // All of these return false when the study is not to go on; give_back_ says why.
  bool SendPart();
  bool SendPage(const std::shared_ptr<const wire::Page>& page);
  bool SendAhead(std::size_t left);
  bool SendInstance(Opened opened);
  bool OpenAssociation();
  bool MakeRoom(const wire::Instance& instance);
  bool Settle(std::size_t left);
  void OnResponse(const StoreResponse& response);
  bool OnSendFailure(const Opened& opened, const StoreFailure& failure, Duration duration);
  bool OnLoss(const StoreFailure& failure, bool of_window);
  bool GiveBackAsLost();
  void TakeArrived();
  void TakeBackUnsent();
  bool CloseAssociation();

  tl::expected<std::unique_ptr<Association>, AssociationFailure> RequestAssociation();
  bool WindowIsToBlame(bool aborted_or_lost, const std::string& reason);
  void NoteAnswer();
  tl::expected<SourceFile, SourceProblem> Open(const std::string& path, const wire::Instance& instance);
  tl::expected<Payload, CannotSend> Prepare(const Opened& opened);
  tl::expected<TranscodedDataset, std::string> Encode(const Opened& opened, const ContextChoice& choice) const;
  tl::expected<std::uint16_t, StoreFailure> Send(const wire::Instance& instance, const Payload& payload);
  tl::expected<StoreResponse, StoreFailure> Receive();
  void DropAssociation();
  void TellUnanswered(const StoreFailure& failure, bool alone);
  void Tell(const std::string& path, const wire::Instance& instance, wire::Outcome outcome);
  void TellNotSent(const std::string& path, const wire::Instance& instance, const CannotSend& why);
  bool GiveBackOfDestination(wire::GiveBack::Reason reason, const std::string& detail, const char* failure);
  bool GiveBack(wire::GiveBack::Reason reason, const std::string& detail = {}, const char* failure = "");
  std::string Destination() const;
  std::string Named(const std::string& what) const;

  const wire::LeaseGrant& grant_;
  StudyPort& port_;
  const SendingContext& context_;
  const ContextPlan plan_;
  std::size_t part_ = 0;
  std::vector<bool> tried_;  // by index: a page of a further part lists again what is not settled
  std::deque<Opened> ahead_;
  std::vector<InFlight> in_flight_;  // as many as the association's window at most, in the order of sending
  std::unique_ptr<Association> association_;
  bool window_proposed_ = false;  // for the last association that was requested
  bool answered_ = false;         // there was a response on it
  bool window_blamed_ = false;    // for a loss under this lease
  std::uint32_t requests_ = 0;    // on this association
  bool responded_ = false;        // under this lease
  unsigned losses_ = 0;           // in a row
  StoreFailure last_loss_;
  bool gives_back_ = false;   // give_back_ has its reason
  wire::GiveBack give_back_;  // DONE unless something happens
};

bool StudySender::SendPart() {
  // The first one is the grant's, which outlives us.
  std::shared_ptr<const wire::Page> page(std::shared_ptr<const wire::Page>(), &grant_.first_page());
  bool have_page = part_ == 0;
  for (std::uint32_t from = 0;; from = page->next_index()) {
    if (!have_page) {
      if (association_) association_->Flush();
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
    // Found since the study was leased: it stays as it is, and the study is leased again with a plan that has it.
    if (!place && grant_.pairs_size() < kContextPairsMax) continue;
    // What nobody planned for belongs to the first part, where it gets its reason.
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

// Sends those whose turn it is, until so many are left.
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
  // Again only while no byte of this instance has been sent.
  for (;;) {
    if (!MakeRoom(instance)) return false;
    if (port_.StopRequested()) return GiveBack(wire::GiveBack::DRAINING);  // it may have been waited for long
    const auto payload = Prepare(opened);
    if (!payload) {
      TellNotSent(opened.path, instance, payload.error());
      return true;
    }
    // Encoding may have taken long, and counts as no progress of the lease.
    if (payload->encoded.valid() && port_.StopRequested()) return GiveBack(wire::GiveBack::DRAINING);
    const TimePoint begin = MonotonicNow();
    const auto sent = Send(instance, *payload);
    if (sent) {
      in_flight_.push_back(
          {std::move(opened.page), &instance, std::move(opened.path), *sent, begin, payload->choice.decode});
      return !instance.alone() || Settle(0);
    }
    if (!OnSendFailure(opened, sent.error(), MonotonicNow() - begin)) return false;
    if (sent.error().instance_touched || sent.error().association_usable) return true;
  }
}

// An association with room for the instance; for one that has to go alone, without others in flight.
bool StudySender::MakeRoom(const wire::Instance& instance) {
  for (;;) {
    if (!OpenAssociation()) return false;
    const std::size_t others = instance.alone() ? 0 : association_->window() - std::size_t{1};
    if (in_flight_.size() <= others) return true;
    if (!Settle(others)) return false;
    if (association_) return true;
  }
}

// Waits for responses until only so many instances are left without one, or the association is lost.
bool StudySender::Settle(std::size_t left) {
  while (in_flight_.size() > left) {
    const auto response = Receive();
    if (response) {
      OnResponse(*response);
      continue;
    }
    DropAssociation();
    const bool of_window = WindowIsToBlame(IsAbortOrLoss(response.error().kind), response.error().reason);
    TellUnanswered(response.error(), /*alone=*/in_flight_.size() == 1 && !of_window);
    if (response.error().kind == StoreFailureKind::kCancelled) return GiveBack(wire::GiveBack::DRAINING);
    return OnLoss(response.error(), of_window);
  }
  return true;
}

bool StudySender::OnSendFailure(const Opened& opened, const StoreFailure& failure, Duration duration) {
  if (!failure.association_usable) TakeArrived();
  const bool of_window = !association_ && WindowIsToBlame(IsAbortOrLoss(failure.kind), failure.reason);
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
    wire::Outcome outcome;
    outcome.set_index(opened.instance->index());
    outcome.set_kind(alone ? wire::Outcome::ASSOCIATION_LOST : wire::Outcome::UNANSWERED);
    outcome.set_reason(LimitedReason(failure.reason));
    outcome.set_duration_us(Microseconds(duration));
    Tell(opened.path, *opened.instance, std::move(outcome));
  }
  return OnLoss(failure, of_window);
}

// The association is over, and what it had answered is heard.
void StudySender::TakeArrived() {
  while (!in_flight_.empty()) {
    const auto response = Receive();
    if (!response) break;
    OnResponse(*response);
  }
  DropAssociation();
}

// What was not begun to be sent stays as it was.
void StudySender::TakeBackUnsent() {
  for (const std::uint16_t id : association_->Unsend()) {
    std::erase_if(in_flight_, [id](const InFlight& instance) { return instance.message_id == id; });
  }
}

// Of the instances in flight, when the association is gone. Of several nobody knows which one it could not bear.
void StudySender::TellUnanswered(const StoreFailure& failure, bool alone) {
  if (association_) return;  // spared: it was the trouble of one file alone
  const auto lost = std::exchange(in_flight_, {});
  if (failure.kind == StoreFailureKind::kCancelled) return;  // nobody waits for it any more
  for (const InFlight& instance : lost) {
    wire::Outcome outcome;
    outcome.set_index(instance.instance->index());
    outcome.set_kind(alone ? wire::Outcome::ASSOCIATION_LOST : wire::Outcome::UNANSWERED);
    outcome.set_reason(LimitedReason(failure.reason));
    outcome.set_duration_us(Microseconds(MonotonicNow() - instance.begin));
    outcome.set_may_be_stored(true);
    Tell(instance.path, *instance.instance, std::move(outcome));
  }
}

void StudySender::OnResponse(const StoreResponse& response) {
  losses_ = 0;
  responded_ = true;
  NoteAnswer();
  const auto it = std::ranges::find(in_flight_, response.message_id, &InFlight::message_id);
  const InFlight answered = std::move(*it);
  in_flight_.erase(it);
  const Duration duration = MonotonicNow() - answered.begin;
  context_.metrics.cstore_duration_seconds.Observe(Seconds(duration));
  wire::Outcome outcome;
  outcome.set_index(answered.instance->index());
  outcome.set_kind(wire::Outcome::RESPONDED);
  outcome.set_status(response.status);
  outcome.set_reason(LimitedReason(response.error_comment));
  outcome.set_duration_us(Microseconds(duration));
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

tl::expected<std::unique_ptr<Association>, AssociationFailure> StudySender::RequestAssociation() {
  const TimeSpent spent(context_.metrics.association_seconds);
  AssociationRequest request = RequestFor(grant_, plan_.associations()[part_]);
  if (!context_.windows.MayPropose(Destination())) request.async_window = 1;
  window_proposed_ = request.async_window > 1;
  answered_ = false;
  return context_.associate(request);
}

// Of an association that has failed: whether its window is the reason, as far as is known. Only once for a lease: its
// further losses count as others do.
bool StudySender::WindowIsToBlame(bool aborted_or_lost, const std::string& reason) {
  // Without a window, each kind of failure says that there is other trouble.
  if (answered_ || (window_proposed_ && !aborted_or_lost)) return false;
  if (!context_.windows.Lost(Destination(), window_proposed_, reason)) return false;
  return !std::exchange(window_blamed_, true);
}

void StudySender::NoteAnswer() {
  if (std::exchange(answered_, true)) return;
  if (const auto reason = context_.windows.Answered(Destination(), window_proposed_)) {
    spdlog::warn(
        "Destination '{}': no asynchronous operations window is proposed any more: with one the association was lost "
        "before any response ({}), and without one it works; '--async-window 1' avoids the loss",
        Destination(), *reason);
  }
}

bool StudySender::OpenAssociation() {
  const std::uint32_t requests_max = grant_.send_options().requests_per_association_max();
  if (association_ && requests_max > 0 && requests_ >= requests_max && !CloseAssociation()) return false;
  if (association_) return true;
  auto opened = RequestAssociation();
  while (!opened && WindowIsToBlame(IsAbortOrLoss(opened.error().kind), opened.error().reason)) {
    opened = RequestAssociation();
  }
  if (opened) {
    association_ = *std::move(opened);
    requests_ = 0;
    port_.AssociationOpened();
    context_.metrics.associations_active.Increment();
    return true;
  }
  const AssociationFailure& failure = opened.error();
  if (failure.kind == AssociationFailureKind::kCancelled) return GiveBack(wire::GiveBack::DRAINING);
  context_.metrics.association_failures_total[FailureName(failure.kind)].Increment();
  // Without a connection a C-ECHO would fare no better.
  if (!failure.connected && failure.kind != AssociationFailureKind::kInvalidRequest) {
    return GiveBack(ReasonOf(failure), Named(failure.reason), FailureName(failure.kind));
  }
  return GiveBackOfDestination(ReasonOf(failure), Named(failure.reason), FailureName(failure.kind));
}

// Tells whether it is this study's association alone that does not get through.
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
  const SourceFile& source = *opened.source;
  const auto& proposed = plan_.associations()[part_];
  auto choice = ChooseContext(proposed, association_->contexts(), opened.instance->sop_class_uid(),
                              source.transfer_syntax_uid, CanDecode);
  if (!choice) return tl::unexpected(CannotSend{.reason = std::move(choice.error())});
  const bool is_deflated = IsDeflatedSyntax(source.transfer_syntax_uid);
  Payload payload{.choice = *std::move(choice),
                  .encoded = {},
                  .bytes = {.fd = source.fd.get(),
                            .offset_bytes = source.dataset_offset,
                            .size_bytes = source.dataset_bytes,
                            .pad_to_even = is_deflated}};
  const bool has_odd_length = source.dataset_bytes % 2 == 1 && !is_deflated;
  if (!payload.choice.decode && !has_odd_length) return payload;
  association_->Flush();
  const TimeSpent spent(context_.metrics.decode_seconds);
  auto encoded = Encode(opened, payload.choice);
  if (!encoded) {
    // It was opened once more: the storage may have gone away in between.
    if (const auto again = OpenSourceFile(opened.path, *opened.instance); !again) {
      return tl::unexpected(Unreadable(again.error()));
    }
    return tl::unexpected(CannotSend{.reason = std::move(encoded.error())});
  }
  payload.encoded = std::move(encoded->fd);
  payload.bytes = {.fd = payload.encoded.get(), .offset_bytes = 0, .size_bytes = encoded->size_bytes};
  return payload;
}

// Decodes the dataset, or, where its transfer syntax is accepted, gives its values even lengths.
tl::expected<TranscodedDataset, std::string> StudySender::Encode(const Opened& opened,
                                                                 const ContextChoice& choice) const {
  const SourceFile& source = *opened.source;
  if (!choice.decode) {
    spdlog::info("Thread {}: padding values of odd length in {}", context_.thread, ToPrintable(opened.path));
    return PadToEvenLengths(source.fd.get(), source.dataset_offset, source.dataset_bytes, source.transfer_syntax_uid);
  }
  auto decoded = Transcode(opened.path, choice.transfer_syntax);
  if (decoded) return decoded;
  return tl::unexpected(fmt::format("the destination does not take transfer syntax {}, and it cannot be decoded: {}",
                                    source.transfer_syntax_uid, decoded.error()));
}

tl::expected<std::uint16_t, StoreFailure> StudySender::Send(const wire::Instance& instance, const Payload& payload) {
  const StoreMeter meter(context_.progress, context_.metrics);
  ++requests_;
  return association_->Send({.context_id = payload.choice.context_id,
                             .sop_class_uid = instance.sop_class_uid(),
                             .sop_instance_uid = instance.sop_instance_uid(),
                             .dataset = payload.bytes});
}

tl::expected<StoreResponse, StoreFailure> StudySender::Receive() {
  const StoreMeter meter(context_.progress, context_.metrics);
  return association_->Receive();
}

// What is in flight is waited for first.
bool StudySender::CloseAssociation() {
  if (association_ && gives_back_) TakeBackUnsent();
  const bool goes_on = Settle(0);
  if (!association_) return goes_on;
  const TimeSpent spent(context_.metrics.association_seconds);
  association_->Release();
  DropAssociation();
  return goes_on;
}

void StudySender::DropAssociation() {
  if (!association_) return;
  association_.reset();
  context_.metrics.associations_active.Decrement();
}

void StudySender::Tell(const std::string& path, const wire::Instance& instance, wire::Outcome outcome) {
  context_.observer.OnOutcome(context_.thread, {path, instance.sop_instance_uid()}, outcome);
  port_.Report(std::move(outcome));
}

void StudySender::TellNotSent(const std::string& path, const wire::Instance& instance, const CannotSend& why) {
  wire::Outcome outcome;
  outcome.set_index(instance.index());
  outcome.set_kind(why.kind);
  outcome.set_reason(LimitedReason(why.reason));
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

std::string StudySender::Destination() const { return DestinationText(grant_.destination()); }

std::string StudySender::Named(const std::string& what) const {
  return fmt::format("{} (calling AE title {}): {}", Destination(), grant_.destination().calling_ae(), what);
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
    // Without a reason, somebody asked for it: a drain, a pause, or a cancellation.
    const std::string& detail = give_back.detail();
    spdlog::log(detail.empty() ? spdlog::level::info : spdlog::level::warn, "Thread {} gives study {} back: {}",
                context.thread, grant.study_instance_uid(), detail.empty() ? "it has to stop" : detail);
  }
  return give_back;
}

}  // namespace dicom_sender
