#include "tests/support/test_destination/shared_state.h"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <stdexcept>

namespace dicom_sender {
namespace {

using JsonWriter = rapidjson::Writer<rapidjson::StringBuffer>;

void Put(JsonWriter& json, const char* key, const std::string& text) {
  json.Key(key);
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

void Put(JsonWriter& json, const char* key, std::uint64_t number) {
  json.Key(key);
  json.Uint64(number);
}

// Returns microseconds since 1970 in UTC.
void Put(JsonWriter& json, const char* key, WallTime time) {
  json.Key(key);
  json.Int64(std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

void PutContext(JsonWriter& json, const ContextRecord& context) {
  json.StartObject();
  Put(json, "id", std::uint64_t{context.id});
  Put(json, "abstract_syntax", context.abstract_syntax);
  json.Key("proposed");
  json.StartArray();
  for (const std::string& syntax : context.proposed) json.String(syntax.c_str());
  json.EndArray();
  Put(json, "accepted", context.accepted);
  json.EndObject();
}

std::string ToJson(const AssociationRecord& record) {
  rapidjson::StringBuffer buffer;
  JsonWriter json(buffer);
  json.StartObject();
  Put(json, "type", std::string("association"));
  Put(json, "number", record.number);
  Put(json, "started_us", record.started);
  Put(json, "ended_us", record.ended);
  Put(json, "calling_ae", record.calling_ae);
  Put(json, "called_ae", record.called_ae);
  Put(json, "async_window", std::uint64_t{record.async_window});
  Put(json, "instances", record.instances);
  Put(json, "echoes", record.echoes);
  Put(json, "end", std::string(ToString(record.end)));
  Put(json, "problem", record.problem);
  json.Key("contexts");
  json.StartArray();
  for (const ContextRecord& context : record.contexts) PutContext(json, context);
  json.EndArray();
  json.EndObject();
  return buffer.GetString();
}

std::string ToJson(const InstanceRecord& record) {
  rapidjson::StringBuffer buffer;
  JsonWriter json(buffer);
  json.StartObject();
  Put(json, "type", std::string("instance"));
  Put(json, "association", record.association);
  Put(json, "received_us", record.received);
  Put(json, "sop_class", record.sop_class);
  Put(json, "sop_instance", record.sop_instance);
  Put(json, "transfer_syntax", record.transfer_syntax);
  Put(json, "bytes", record.bytes);
  json.Key("complete");
  json.Bool(record.complete);
  if (record.status) Put(json, "status", fmt::format("{:04X}", *record.status));
  if (record.fnv1a_hash) Put(json, "fnv1a", fmt::format("{:016x}", *record.fnv1a_hash));
  json.EndObject();
  return buffer.GetString();
}

}  // namespace

SharedState::SharedState(DestinationOptions options, DestinationBehaviour behaviour) : options_(std::move(options)) {
  SetBehaviour(std::move(behaviour));
  if (options_.log_file.empty()) return;
  file_.reset(std::fopen(options_.log_file.c_str(), "a"));
  if (!file_) throw std::runtime_error("cannot open " + options_.log_file);
}

void SharedState::SetBehaviour(DestinationBehaviour behaviour) {
  const std::lock_guard lock(mutex_);
  behaviour_ = std::move(behaviour);
  rule_counts_.assign(behaviour_.rules.size(), RuleCounts{});
  rejected_ = 0;
}

DestinationBehaviour SharedState::Behaviour() const {
  const std::lock_guard lock(mutex_);
  return behaviour_;
}

DestinationLog SharedState::Log() const {
  const std::lock_guard lock(mutex_);
  return log_;
}

bool SharedState::WaitFor(const std::function<bool(const DestinationLog&)>& condition,
                          std::chrono::milliseconds timeout) const {
  std::unique_lock lock(mutex_);
  // Uses the system clock: ThreadSanitizer of g++ 12 does not support waiting on the steady one (gcc bug 97845).
  return changed_.wait_until(lock, std::chrono::system_clock::now() + timeout, [&] { return condition(log_); });
}

std::optional<Rejection> SharedState::JudgeLocked(const AssociateRequest& request, const AssociationRecord& record) {
  // PS3.8 table 9-21.
  constexpr Rejection kCalledAeNotRecognized{1, 1, 7}, kLocalLimitExceeded{2, 3, 2};
  if (behaviour_.reject && (behaviour_.reject_times == 0 || rejected_ < behaviour_.reject_times)) {
    ++rejected_;
    return behaviour_.reject;
  }
  if (behaviour_.reject_some) {
    if (auto rejection = behaviour_.reject_some(record)) return rejection;
  }
  if (!behaviour_.called_ae.empty() && behaviour_.called_ae != request.called_ae) return kCalledAeNotRecognized;
  if (behaviour_.associations_max != 0 && log_.open_associations >= behaviour_.associations_max) {
    return kLocalLimitExceeded;
  }
  return std::nullopt;
}

SharedState::Admission SharedState::Admit(const AssociateRequest& request, const std::string& address) {
  Admission admission;
  const std::lock_guard lock(mutex_);
  admission.behaviour = behaviour_;
  admission.behaviour.rules.clear();
  AssociationRecord& record = admission.record;
  record.number = log_.associations.size() + 1;
  record.started = std::chrono::system_clock::now();
  record.calling_ae = request.calling_ae;
  record.called_ae = request.called_ae;
  record.address = address;
  record.window_proposed = request.user.async_window.has_value();
  for (const ProposedContext& context : request.contexts) {
    record.contexts.push_back({context.id, context.abstract_syntax, context.transfer_syntaxes, ""});
  }
  admission.rejection = JudgeLocked(request, record);
  log_.associations.push_back(record);
  if (!admission.rejection) ++log_.open_associations;
  log_.most_open_associations = std::max(log_.most_open_associations, log_.open_associations);
  changed_.notify_all();
  return admission;
}

void SharedState::Update(const AssociationRecord& record) {
  const std::lock_guard lock(mutex_);
  log_.associations[record.number - 1] = record;
  changed_.notify_all();
}

void SharedState::End(AssociationRecord record, AssociationEnd end) {
  record.end = end;
  record.ended = std::chrono::system_clock::now();
  const std::lock_guard lock(mutex_);
  if (end != AssociationEnd::kRejected) --log_.open_associations;
  if (file_) WriteLocked(ToJson(record));
  log_.associations[record.number - 1] = std::move(record);
  changed_.notify_all();
}

bool SharedState::MatchesLocked(const InstanceRule& rule, RuleCounts& counts, const std::string& uid,
                                std::uint64_t nth) {
  if (!rule.sop_instance_uid.empty() && rule.sop_instance_uid != uid) return false;
  if (rule.nth != 0 && rule.nth != stores_) return false;
  if (rule.nth_of_association != 0 && rule.nth_of_association != nth) return false;
  if (rule.times != 0 && counts.matches >= rule.times) return false;
  if (rule.times_each != 0 && ++counts.of_instance[uid] > rule.times_each) return false;
  ++counts.matches;
  return true;
}

InstanceRule SharedState::RuleFor(const std::string& sop_instance_uid, std::uint64_t nth_of_association) {
  const std::lock_guard lock(mutex_);
  ++stores_;
  for (std::size_t i = 0; i < behaviour_.rules.size(); ++i) {
    const InstanceRule& rule = behaviour_.rules[i];
    if (MatchesLocked(rule, rule_counts_[i], sop_instance_uid, nth_of_association)) return rule;
  }
  return {};
}

void SharedState::Settle(InstanceRecord record) {
  const std::lock_guard lock(mutex_);
  if (file_) WriteLocked(ToJson(record));
  if (record.complete) {
    ++log_.complete_instances;
    log_.complete_bytes += record.bytes;
  }
  if (!options_.keep_instances) return;
  log_.instances.push_back(std::move(record));
  changed_.notify_all();
}

// Flushes each line, so that a reader of the file sees it as soon as the sender may know the response.
void SharedState::WriteLocked(const std::string& line) {
  std::fputs(line.c_str(), file_.get());
  std::fputc('\n', file_.get());
  std::fflush(file_.get());
}

}  // namespace dicom_sender
