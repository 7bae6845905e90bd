#include "session/session_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

namespace dicom_sender {
namespace {

std::uint32_t Milliseconds(std::chrono::seconds duration) {
  return static_cast<std::uint32_t>(std::chrono::milliseconds(duration).count());
}

// Makes the path absolute, so that a resumed scan finds it from any working directory, and normalizes spellings such
// as "a", "./a", and "a/". The file system resolves "..", because the meaning of ".." depends on symbolic links.
std::string Absolute(const std::string& input) {
  std::filesystem::path path = std::filesystem::absolute(input);
  if (std::find(path.begin(), path.end(), "..") != path.end()) {
    std::error_code error;
    const auto canonical = std::filesystem::canonical(path, error);
    if (!error) path = canonical;
  }
  path = path.lexically_normal();
  return path.has_filename() || !path.has_relative_path() ? path : path.parent_path();
}

void PutSendOptions(const SessionOptions& options, const std::function<bool(const char*)>& wanted,
                    wire::SendOptions& out) {
  if (wanted("max-pdu")) out.set_max_pdu_bytes(options.max_pdu_bytes);
  if (wanted("connect-timeout")) out.set_connect_timeout_ms(Milliseconds(options.connect_timeout));
  if (wanted("acse-timeout")) out.set_acse_timeout_ms(Milliseconds(options.acse_timeout));
  if (wanted("dimse-timeout")) out.set_dimse_timeout_ms(Milliseconds(options.dimse_timeout));
  if (wanted("idle-timeout")) out.set_idle_timeout_ms(Milliseconds(options.idle_timeout));
  if (wanted("async-window")) out.set_async_window(options.async_window);
  if (wanted("max-requests-per-association")) {
    out.set_requests_per_association_max(options.requests_per_association_max);
  }
}

wire::Dispatch ToDispatch(DispatchMode mode) {
  return mode == DispatchMode::kAsFound ? wire::DISPATCH_AS_FOUND : wire::DISPATCH_AFTER_SCAN;
}

wire::Destination DestinationOf(const SessionOptions& options) {
  wire::Destination destination;
  destination.set_called_ae(options.called_ae.value_or(""));
  destination.set_calling_ae(options.calling_ae.value_or(""));
  destination.set_host(options.host.value_or(""));
  destination.set_port(options.port.value_or(0));
  return destination;
}

struct Contradiction {
  const char* option;
  std::string given, known;
};

// Finds the first option that contradicts the known session.
std::optional<Contradiction> FindContradiction(const SessionOptions& options, const wire::OpenSession& known) {
  // A session without a destination comes from a dry run and accepts any destination.
  const bool has_destination = !known.destination().host().empty();
  const wire::Destination destination = has_destination ? known.destination() : DestinationOf(options);
  std::vector<std::string> inputs, known_inputs(known.inputs().begin(), known.inputs().end());
  for (const std::string& input : options.inputs) inputs.push_back(Absolute(input));
  std::sort(inputs.begin(), inputs.end());  // the order of the inputs does not matter
  std::sort(known_inputs.begin(), known_inputs.end());
  const Contradiction all[] = {
      {"ae-title", options.called_ae.value_or(""), destination.called_ae()},
      {"calling-ae", options.calling_ae.value_or(""), destination.calling_ae()},
      {"host", options.host.value_or(""), destination.host()},
      {"port", std::to_string(options.port.value_or(0)), std::to_string(destination.port())},
      {"recursive", options.recursive ? "true" : "false", known.recursive() ? "true" : "false"},
      {"input", fmt::format("{}", fmt::join(inputs, ", ")), fmt::format("{}", fmt::join(known_inputs, ", "))}};
  for (const Contradiction& one : all) {
    if (options.given.contains(one.option) && one.given != one.known) return one;
  }
  return std::nullopt;
}

}  // namespace

wire::OpenSession NewSessionSettings(const SessionOptions& options, const std::string& session) {
  wire::OpenSession settings;
  settings.set_session(session);
  *settings.mutable_destination() = DestinationOf(options);
  PutSendOptions(
      options, [](const char*) { return true; }, *settings.mutable_send_options());
  settings.set_dispatch(ToDispatch(options.dispatch));
  settings.set_attempts_max(options.attempts_max);
  if (options.retry_for) settings.set_retry_for_ms(Milliseconds(*options.retry_for));
  for (const std::string& input : options.inputs) settings.add_inputs(Absolute(input));
  settings.set_recursive(options.recursive);
  return settings;
}

tl::expected<wire::OpenSession, std::string> ResumedSessionSettings(const SessionOptions& options, bool retry_failed,
                                                                    const wire::OpenSession& known) {
  if (const auto wrong = FindContradiction(options, known)) {
    return tl::unexpected(fmt::format("{}: '{}' is not what session {} was started with, '{}': omit it to resume",
                                      options.given.at(wrong->option), wrong->given, known.session(), wrong->known));
  }
  const auto given = [&](const char* name) { return options.given.contains(name); };
  wire::OpenSession settings = known;
  if (known.destination().host().empty()) {
    if (!options.called_ae || !options.host || !options.port) {
      return tl::unexpected(
          fmt::format("session {} is a dry run without a destination: give -a, -H, and -p", known.session()));
    }
    *settings.mutable_destination() = DestinationOf(options);
    if (!options.calling_ae) settings.mutable_destination()->set_calling_ae(known.destination().calling_ae());
  }
  PutSendOptions(options, given, *settings.mutable_send_options());
  if (given("dispatch")) settings.set_dispatch(ToDispatch(options.dispatch));
  if (given("max-attempts")) settings.set_attempts_max(options.attempts_max);
  if (options.retry_for) settings.set_retry_for_ms(Milliseconds(*options.retry_for));
  settings.set_resume(true);
  settings.set_retry_failed(retry_failed);
  return settings;
}

}  // namespace dicom_sender
