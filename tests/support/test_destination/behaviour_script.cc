#include <fmt/format.h>

#include <charconv>
#include <sstream>
#include <utility>

#include "tests/support/test_destination/test_destination.h"

namespace dicom_sender {
namespace {

using Parsed = tl::expected<void, std::string>;

constexpr std::pair<std::string_view, InstanceAction> kActions[] = {
    {"answer", InstanceAction::kAnswer},
    {"stall", InstanceAction::kStall},
    {"stall-receiving", InstanceAction::kStallReceiving},
    {"abort-in-dataset", InstanceAction::kAbortInDataset},
    {"abort-after-dataset", InstanceAction::kAbortAfterDataset},
    {"drop-in-dataset", InstanceAction::kDropInDataset},
    {"drop-after-dataset", InstanceAction::kDropAfterDataset},
    {"garbage", InstanceAction::kAnswerGarbage},
    {"answer-next", InstanceAction::kAnswerNextToo},
    {"wrong-message-id", InstanceAction::kAnswerWrongMessageId},
};

constexpr std::pair<std::string_view, WindowReaction> kWindowReactions[] = {
    {"abort-request", WindowReaction::kAbortRequest},
    {"drop-request", WindowReaction::kDropRequest},
    {"drop-after-accept", WindowReaction::kDropAfterAccept},
    {"drop-command", WindowReaction::kDropCommand},
};

template <typename Number>
Parsed ParseNumber(std::string_view text, Number& out, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (error == std::errc() && end == text.data() + text.size()) return {};
  return tl::unexpected(fmt::format("'{}' is no number, or too large", text));
}

template <typename Action, std::size_t count>
Parsed ParseAction(std::string_view text, const std::pair<std::string_view, Action> (&actions)[count], Action& out) {
  for (const auto& [name, action] : actions) {
    if (name != text) continue;
    out = action;
    return {};
  }
  return tl::unexpected(fmt::format("unknown action '{}'", text));
}

Parsed ParseDelay(std::string_view text, std::chrono::milliseconds& out) {
  std::uint32_t milliseconds = 0;
  Parsed parsed = ParseNumber(text, milliseconds);
  out = std::chrono::milliseconds(milliseconds);
  return parsed;
}

Parsed SetRuleField(InstanceRule& rule, std::string_view key, std::string_view value) {
  if (key == "instance")
    rule.sop_instance_uid = value;
  else if (key == "comment")
    rule.error_comment = value;
  else if (key == "nth")
    return ParseNumber(value, rule.nth);
  else if (key == "nth-of-association")
    return ParseNumber(value, rule.nth_of_association);
  else if (key == "times")
    return ParseNumber(value, rule.times);
  else if (key == "times-each")
    return ParseNumber(value, rule.times_each);
  else if (key == "status")
    return ParseNumber(value, rule.status, 16);
  else if (key == "action")
    return ParseAction(value, kActions, rule.action);
  else if (key == "delay")
    return ParseDelay(value, rule.delay);
  else
    return tl::unexpected(fmt::format("unknown key '{}'", key));
  return {};
}

Parsed SetRejectField(DestinationBehaviour& behaviour, std::string_view key, std::string_view value) {
  if (key == "result") return ParseNumber(value, behaviour.reject->result);
  if (key == "source") return ParseNumber(value, behaviour.reject->source);
  if (key == "reason") return ParseNumber(value, behaviour.reject->reason);
  if (key == "times") return ParseNumber(value, behaviour.reject_times);
  return tl::unexpected(fmt::format("unknown key '{}'", key));
}

// Calls `set` with the key and value of each remaining `key=value` of the line.
template <typename Set>
Parsed ForEachField(std::istringstream& line, Set set) {
  std::string field;
  while (line >> field) {
    const std::size_t equals = field.find('=');
    if (equals == std::string::npos) return tl::unexpected(fmt::format("'{}' is not key=value", field));
    Parsed parsed = set(std::string_view(field).substr(0, equals), std::string_view(field).substr(equals + 1));
    if (!parsed) return parsed;
  }
  return {};
}

// Parses a line that consists of one word, or of one word and one value.
Parsed ParseSetting(const std::string& word, const std::string& value, DestinationBehaviour& behaviour) {
  const bool is_flag = word == "stall-association" || word == "reorder-answers";
  if (is_flag != value.empty())
    return tl::unexpected(fmt::format("'{}' {} value", word, is_flag ? "takes no" : "needs a"));
  if (word == "stall-association")
    behaviour.stall_association = true;
  else if (word == "reorder-answers")
    behaviour.reorder_answers = true;
  else if (word == "called-ae")
    behaviour.called_ae = value;
  else if (word == "abstract-syntax")
    behaviour.abstract_syntaxes.push_back(value);
  else if (word == "transfer-syntax")
    behaviour.transfer_syntaxes.push_back(value);
  else if (word == "max-pdu")
    return ParseNumber(value, behaviour.max_pdu_bytes);
  else if (word == "associations-max")
    return ParseNumber(value, behaviour.associations_max);
  else if (word == "async-window")
    return ParseNumber(value, behaviour.async_window);
  else if (word == "window-reaction")
    return ParseAction(value, kWindowReactions, behaviour.window_reaction);
  else if (word == "receive-buffer")
    return ParseNumber(value, behaviour.receive_buffer_bytes);
  else
    return tl::unexpected(fmt::format("unknown word '{}'", word));
  return {};
}

Parsed ParseLine(const std::string& text, DestinationBehaviour& behaviour) {
  std::istringstream line(text.substr(0, text.find('#')));
  std::string word;
  if (!(line >> word)) return {};
  if (word == "rule") {
    InstanceRule& rule = behaviour.rules.emplace_back();
    return ForEachField(line, [&](auto key, auto value) { return SetRuleField(rule, key, value); });
  }
  if (word == "reject") {
    behaviour.reject.emplace();
    return ForEachField(line, [&](auto key, auto value) { return SetRejectField(behaviour, key, value); });
  }
  std::string value, excess;
  line >> value;
  if (line >> excess) return tl::unexpected(fmt::format("'{}' is too much", excess));
  return ParseSetting(word, value, behaviour);
}

}  // namespace

tl::expected<DestinationBehaviour, std::string> ParseBehaviour(std::string_view text) {
  DestinationBehaviour behaviour;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const Parsed parsed = ParseLine(line, behaviour);
    if (!parsed) return tl::unexpected(fmt::format("line {}: {}", number, parsed.error()));
  }
  const std::uint32_t max_pdu = behaviour.max_pdu_bytes;
  if (max_pdu != 0 && (max_pdu < kMaxPduBytesLeast || max_pdu > kMaxPduBytesMost)) {
    return tl::unexpected(fmt::format("max-pdu is neither 0 nor {} to {}", kMaxPduBytesLeast, kMaxPduBytesMost));
  }
  return behaviour;
}

}  // namespace dicom_sender
