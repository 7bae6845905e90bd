#include "coordinator/ledger/predicates.h"

#include <fmt/format.h>

#include <vector>

namespace dicom_sender {
namespace {

template <class States>
std::string In(std::string_view column, const States& states) {
  std::string numbers;
  for (const auto state : states) numbers += (numbers.empty() ? "" : ", ") + Sql(state);
  return fmt::format("{} IN ({})", column, numbers);
}

std::vector<InstanceState> StatesThatAre(bool settled) {
  std::vector<InstanceState> states;
  for (const InstanceState state : kInstanceStates) {
    if (IsSettled(state) == settled) states.push_back(state);
  }
  return states;
}

}  // namespace

std::string Sql(InstanceState state) { return std::to_string(static_cast<int>(state)); }

std::string StateIs(InstanceState state, std::string_view column) {
  return fmt::format("{} = {}", column, Sql(state));
}

std::string StateIn(std::span<const InstanceState> states, std::string_view column) { return In(column, states); }

std::string StateIsSettled(std::string_view column) { return In(column, StatesThatAre(true)); }
std::string StateIsUnsettled(std::string_view column) { return In(column, StatesThatAre(false)); }

std::string UnsettledInstances(std::string_view prefix) {
  return fmt::format("{0}total - {0}stored - {0}warned - {0}failed - {0}skipped", prefix);
}

std::string HasUnsettled(std::string_view prefix) {
  return fmt::format("{0}total > {0}stored + {0}warned + {0}failed + {0}skipped", prefix);
}

std::string MayHave(std::span<const InstanceState> states, std::string_view prefix) {
  std::string condition;
  for (const InstanceState state : states) condition += (condition.empty() ? "" : " OR ") + MayHave(state, prefix);
  return "(" + condition + ")";
}

std::string MayHave(InstanceState state, std::string_view prefix) {
  switch (state) {
    case InstanceState::kPending:
    case InstanceState::kDelayed:
      return HasUnsettled(prefix);
    case InstanceState::kStored:
      return fmt::format("{}stored > 0", prefix);
    case InstanceState::kStoredWithWarning:
      return fmt::format("{}warned > 0", prefix);
    case InstanceState::kFailed:
      return fmt::format("{}failed > 0", prefix);
    case InstanceState::kSkipped:
      return fmt::format("{0}skipped > {0}conflicts", prefix);
    case InstanceState::kConflict:
      return fmt::format("{}conflicts > 0", prefix);
  }
  return "false";
}

std::string Sql(wire::SessionState state) { return std::to_string(static_cast<int>(state)); }

std::string StateIn(std::span<const wire::SessionState> states, std::string_view column) {
  return In(column, states);
}

}  // namespace dicom_sender
