#include "tests/sim/client.h"

#include <numeric>

#include "proto/validate.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kCommandIds = 1'000'000;  // larger ids: commands, whose replies are ignored

std::uint32_t Milliseconds(Duration duration) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<milliseconds>(duration).count());
}

// Whether a copy differs from its original. The result is the same for each call.
bool IsConflict(const std::string& path) { return std::accumulate(path.begin(), path.end(), 0) % 3 == 0; }

}  // namespace

SimClient::SimClient(World& world, Checker& checker, Coordinators& coordinators, unsigned number,
                     const std::string& destination)
    : world_(world),
      checker_(checker),
      coordinators_(coordinators),
      number_(number),
      session_number_(number % world.plan.sessions),
      name_(fmt::format("c{}", number)),
      session_(fmt::format("session-{}", session_number_)),
      destination_(destination),
      dispatch_(world.random.OneIn(2) ? wire::DISPATCH_AFTER_SCAN : wire::DISPATCH_AS_FOUND) {
  MakeFiles();
}

// --- content

void SimClient::MakeFiles() {
  const std::uint32_t studies = world_.random.From(1, world_.plan.studies_max);
  for (std::uint32_t study = 0; study < studies; ++study) MakeStudy(study);
}

// The first study is always good, so that the destination can store something.
void SimClient::DrawFate(unsigned study, const std::string& uid) {
  StudyFate fate = StudyFate::kGood;
  const Plan& plan = world_.plan;
  if (study > 0 && plan.unauthorized > 0 && world_.random.Chance(plan.unauthorized)) fate = StudyFate::kNotAuthorized;
  if (study > 0 && plan.turned_away > 0 && world_.random.Chance(plan.turned_away)) fate = StudyFate::kTurnedAway;
  if (study == 1 && plan.loses_studies) fate = StudyFate::kLost;
  world_.fates.try_emplace(uid, fate);
}

void SimClient::MakeStudy(unsigned study) {
  wire::StudyItems items;
  items.set_study_instance_uid(fmt::format("1.{}.{}", session_number_, study));
  DrawFate(study, items.study_instance_uid());
  const std::uint32_t instances = world_.random.From(1, world_.plan.instances_max);
  for (std::uint32_t i = 0; i < instances; ++i) {
    SimFile file{.session = session_number_,
                 .study = items.study_instance_uid(),
                 .path = fmt::format("{}/{}/{}", number_, study, i),
                 .sop_instance_uid = fmt::format("{}.{}.{}", items.study_instance_uid(), number_, i),
                 .size_bytes = 100 + world_.random.Below(900),
                 .defect = world_.random.OneIn(30),
                 .unsendable = world_.random.OneIn(30)};
    if (study == 0 && i == 0) file.defect = file.unsendable = false;  // each session has an instance that can be sent
    AddFile(file, items);
    if (world_.random.OneIn(20)) {
      file.path += "-copy";
      AddFile(std::move(file), items);
      if (world_.random.OneIn(2)) {
        SimFile other = world_.files.at(kSimRoot + items.instances().rbegin()->path());
        other.path = items.instances().rbegin()->path() + "-too";
        AddFile(std::move(other), items);
      }
    }
    // Publishes studies in several batches that alternate with those of other studies.
    if (world_.random.OneIn(5)) {
      AddBatch(items);
      items.clear_instances();
    }
  }
  AddBatch(items);
}

void SimClient::AddFile(SimFile file, wire::StudyItems& study) {
  auto* instance = study.add_instances();
  instance->set_root(1);
  instance->set_path(file.path);
  instance->set_sop_class_uid("1.2.840.10008.5.1.4.1.1.2");
  instance->set_sop_instance_uid(file.sop_instance_uid);
  instance->set_transfer_syntax_uid("1.2.840.10008.1.2.1");
  instance->set_size_bytes(file.size_bytes);
  if (file.defect) instance->set_defect("truncated");
  const std::string path = kSimRoot + file.path;
  file.path = path;
  world_.files[path] = std::move(file);
}

void SimClient::AddBatch(const wire::StudyItems& study) {
  if (study.instances_size() == 0) return;
  const bool joins = !batches_.empty() && world_.random.OneIn(3);
  wire::PublishBatch& batch = joins ? batches_[world_.random.Below(batches_.size())] : batches_.emplace_back();
  if (!joins) {
    batch.set_session(session_);
    auto* root = batch.add_roots();
    root->set_id(1);
    root->set_path(kSimRoot);
  }
  *batch.add_studies() = study;
}

// --- process

void SimClient::Start() {
  if (process_) return;
  ++lives_;
  world_.Trace("{} starts, life {}", name_, lives_);
  process_ = std::make_shared<Process>();
  process_->mailbox = std::make_shared<Mailbox>();
  process_->mailbox->node = name_;
  process_->mailbox->receive = [this](const std::string& bytes, unsigned coordinator) {
    Receive(bytes, coordinator);
  };
  process_->channel.emplace(
      world_, coordinators_, fmt::format("{}.{}", name_, lives_), process_->mailbox,
      [this](Duration delay, std::function<void()> what) { Later(delay, std::move(what)); },
      [this] {
        if (process_->waits) Send();
      });
  Ask();
}

void SimClient::Later(Duration delay, std::function<void()> what) {
  world_.events.After(delay, [life = std::weak_ptr(process_), what = std::move(what)] {
    if (const auto process = life.lock()) what();
  });
}

void SimClient::Go(Stage stage) {
  process_->stage = stage;
  if (stage != Stage::kDone) Ask();
}

// One request at a time: a new one replaces the one before.
void SimClient::Ask() {
  wire::ClientRequest request = Request();
  request.set_request_id(++process_->request_id);
  if (request.has_publish_batch()) {
    checker_.Published(fmt::format("{}.{}", name_, lives_), request.request_id(), request.publish_batch());
  }
  if (request.has_begin_scan()) checker_.Commanded(fmt::format("{}.{}", name_, lives_), request);
  if (request.has_scan_complete()) checker_.Scanned(request.scan_complete());
  if (request.has_open_session() && request.open_session().retry_failed()) checker_.RetriesFailed();
  if (world_.tracing()) world_.Trace("{} asks: {}", name_, request.ShortDebugString());
  process_->request = Envelope(request).SerializeAsString();
  process_->waits = true;
  Send();
}

void SimClient::Send() {
  process_->channel->Send(process_->request);
  Later(world_.random.Between(seconds(1), seconds(5)), [this, attempt = ++process_->attempt] {
    if (attempt == process_->attempt) Send();
  });
}

wire::ClientRequest SimClient::Request() {
  wire::ClientRequest request;
  switch (process_->stage) {
    case Stage::kOpen:
      return Open(false);
    case Stage::kResume:
      return Open(true);
    case Stage::kBeginScan:
      request.mutable_begin_scan()->set_session(session_);
      request.mutable_begin_scan()->set_indexer(name_);
      request.mutable_begin_scan()->set_scan(lives_);
      break;
    case Stage::kPublish:
      *request.mutable_publish_batch() = batches_[process_->batch];
      break;
    case Stage::kListCopies:
      request.mutable_list_copies()->set_session(session_);
      request.mutable_list_copies()->set_indexer(name_);
      request.mutable_list_copies()->set_limit(3);
      break;
    case Stage::kCompare:
      request.mutable_record_comparisons()->set_session(session_);
      for (const auto& copy : process_->copies.copies()) {
        auto* entry = request.mutable_record_comparisons()->add_comparisons();
        entry->set_study(copy.study());
        entry->set_index(copy.index());
        if (IsConflict(copy.path())) entry->set_difference("(7FE0,0010) differs");
      }
      break;
    case Stage::kScanComplete:
      request.mutable_scan_complete()->set_session(session_);
      request.mutable_scan_complete()->set_indexer(name_);
      request.mutable_scan_complete()->set_scan(lives_);
      break;
    case Stage::kWatch:
    case Stage::kDone:
      request.mutable_get_session()->set_session(session_);
  }
  return request;
}

wire::ClientRequest SimClient::Open(bool resume) {
  wire::ClientRequest request;
  auto* open = request.mutable_open_session();
  open->set_session(session_);
  open->mutable_destination()->set_called_ae(destination_);
  open->mutable_destination()->set_host("pacs");
  open->mutable_destination()->set_port(104);
  open->set_dispatch(dispatch_);
  open->set_attempts_max(world_.plan.attempts_max);
  if (world_.plan.sets_retry_for) open->set_retry_for_ms(Milliseconds(world_.plan.retry_for));
  open->set_resume(resume);
  open->set_retry_failed(resume && world_.random.OneIn(4));
  return request;
}

void SimClient::Receive(const std::string& bytes, unsigned coordinator) {
  const auto envelope = ParseFromCoordinator(bytes);
  if (!envelope) throw Violation("a client cannot read what it gets");
  process_->channel->Heard(coordinator, !envelope->has_not_leading());
  if (envelope->has_not_leading()) return;
  if (!envelope->has_client()) throw Violation("a client gets what it cannot use");
  const wire::ClientReply& reply = envelope->client();
  // A late or repeated reply answers an outdated request.
  if (reply.request_id() != process_->request_id || !process_->waits) return;
  process_->waits = false;
  ++process_->attempt;
  OnReply(reply);
}

void SimClient::OnReply(const wire::ClientReply& reply) {
  if (reply.has_failure()) {
    // The session has ended before the scan was complete.
    const bool feeds = process_->stage == Stage::kPublish || process_->stage == Stage::kBeginScan;
    if (!feeds) throw Violation("a client is refused: " + reply.failure().reason());
    process_->resumed_from = process_->stage;
    return Go(Stage::kResume);
  }
  switch (process_->stage) {
    case Stage::kOpen:
      return Go(Stage::kBeginScan);
    case Stage::kBeginScan:
      return Go(Stage::kPublish);
    case Stage::kPublish:
      if (++process_->batch == batches_.size()) return Go(Stage::kListCopies);
      return Later(world_.random.Between({}, seconds(2)), [this, attempt = process_->attempt] {
        if (attempt == process_->attempt) Ask();
      });
    case Stage::kListCopies:
      process_->copies = reply.copies();
      return Go(reply.copies().copies_size() > 0 ? Stage::kCompare : Stage::kScanComplete);
    case Stage::kCompare:
      return Go(Stage::kListCopies);
    case Stage::kScanComplete:
      return Go(Stage::kWatch);
    case Stage::kResume:
      return Go(process_->resumed_from);
    case Stage::kWatch:
      return OnStatus(reply.session());
    case Stage::kDone:
      return;
  }
}

void SimClient::OnStatus(const wire::SessionStatus& status) {
  switch (status.state()) {
    case wire::SESSION_COMPLETE:
      Go(Stage::kDone);
      // A late command may reopen the session.
      return Later(seconds(30), [this, attempt = process_->attempt] {
        if (attempt == process_->attempt) Go(Stage::kWatch);
      });
    case wire::SESSION_UNREACHABLE:
    case wire::SESSION_REFUSED:
    case wire::SESSION_SUSPENDED:
    case wire::SESSION_CANCELLED:
      process_->resumed_from = Stage::kWatch;
      return Later(world_.random.Between({}, world_.plan.resume_within), [this, attempt = process_->attempt] {
        if (attempt == process_->attempt) Go(Stage::kResume);
      });
    default:
      return Later(world_.random.Between(seconds(2), seconds(10)), [this, attempt = process_->attempt] {
        if (attempt == process_->attempt) Ask();
      });
  }
}

void SimClient::Suspend() {
  wire::ClientRequest request;
  request.mutable_suspend_session()->set_session(session_);
  Command(std::move(request));
}

void SimClient::Cancel() {
  wire::ClientRequest request;
  request.mutable_cancel_session()->set_session(session_);
  Command(std::move(request));
}

void SimClient::Requeue() {
  checker_.RetriesFailed();
  wire::ClientRequest request;
  request.mutable_requeue_instances()->set_session(session_);
  Command(std::move(request));
}

void SimClient::DrainWorker(const std::string& worker) {
  wire::ClientRequest request;
  request.mutable_drain_worker()->set_worker(worker);
  Command(std::move(request));
}

void SimClient::Command(wire::ClientRequest request) {
  if (!process_) return;
  request.set_request_id(kCommandIds + ++commands_);
  checker_.Commanded(fmt::format("{}.{}", name_, lives_), request);
  world_.Trace("an operator asks: {}", request.ShortDebugString());
  process_->channel->Send(Envelope(request).SerializeAsString());
  if (process_->stage == Stage::kDone) Go(Stage::kWatch);  // the session may have been reopened
}

}  // namespace dicom_sender
