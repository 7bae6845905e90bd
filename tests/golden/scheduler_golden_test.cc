// Runs the scenarios of tests/golden/scheduler/ through the Scheduler. A scenario is read from top to bottom: a line
// is an event, and the lines after it that start with ">" are the scheduler's output, in order.
//
//   0.5 open S dest=PACS attempts=3 retry_for=60|default [OPTION...]
//       options: stored, endpoint=ADDRESS, calling=AE, as_found, scanned
//   0.5 feed S study=1 instances=2 bytes=100
//   0.5 scan_begins S                         another scan of the session
//   0.5 scanned S                             the scan of the session is complete
//   0.5 suspend S
//   0.5 cancel S
//   0.5 drain W
//   0.5 restored S study=1 lease=7 worker=W   the lease was in force when the last coordinator ended
//   0.5 worker W capacity=2 [incarnation=1] [seq=1] [draining] [holds=1,2] [stuck=3]
//       stuck: leases that are held without progress
//   0.5 report lease=1 0:0000 1:A700 2:lost 3:unsendable 4:unreadable 5:away [associations=1] [echo]
//       [back=done|draining|transient|refused|rejected|busy]
//       echo: a C-ECHO was answered
//   0.5 tick
//   0 options [max_associations=2] [max_attempts=2] [workers_may_come=0]
//       starts over with these options
//
// Times are in seconds. Session names are single letters. GOLDEN_UPDATE=1 in the environment writes the actual output
// into the files.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kLeaseTtl(150);

using Words = std::map<std::string, std::string>;

std::string StateName(InstanceState state) {
  constexpr const char* kNames[] = {"pending", "delayed", "stored", "warning", "failed", "skipped"};
  return kNames[static_cast<int>(state)];
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

// What the ledger would know: enough of it to give each event its facts.
class ScenarioRunner {
 public:
  ScenarioRunner() : scheduler_({.lease_ttl = kLeaseTtl}, 0) {}

  std::vector<std::string> Run(const std::string& line) {
    const auto words = Split(line, ' ');
    if (words.at(1) == "options") {
      const Words named = Named(words);
      const auto limit = [&named](const std::string& name) {
        return static_cast<std::uint32_t>(named.contains(name) ? std::stoul(named.at(name)) : 0);
      };
      scheduler_ = Scheduler({.lease_ttl = kLeaseTtl,
                              .associations_max = limit("max_associations"),
                              .attempts_max = limit("max_attempts"),
                              .workers_may_come = !named.contains("workers_may_come")},
                             0);
      return {};
    }
    const TimePoint now =
        TimePoint() + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::stod(words.at(0))));
    const Output output = scheduler_.Step(ToEvent(words), now);
    scheduler_.CheckInvariants();
    std::vector<std::string> lines;
    for (const auto& change : output.changes) {
      lines.push_back(std::visit([this](const auto& c) { return Apply(c); }, change));
    }
    for (const auto& reply : output.replies) {
      lines.push_back(std::visit([](const auto& r) { return Show(r); }, reply));
    }
    for (const auto& begun : output.quarantines) {
      const auto* destination = std::get_if<std::string>(&begun.what.subject);
      lines.push_back(fmt::format("{} is quarantined for {}: {}", begun.worker,
                                  destination != nullptr ? *destination : "its files", begun.what.reason));
    }
    EXPECT_GT(output.wake_at.value_or(TimePoint::max()), now) << line << ": asks to be woken in the past";
    return lines;
  }

 private:
  struct StudyFacts {
    std::map<std::uint32_t, InstanceFacts> instances;
    std::uint32_t suspect_end = 0;
  };

  static Words Named(const std::vector<std::string>& words) {
    Words named;
    for (const auto& word : words) {
      const auto equals = word.find('=');
      named[word.substr(0, equals)] = equals == std::string::npos ? "" : word.substr(equals + 1);
    }
    return named;
  }

  static std::optional<Duration> RetryFor(const Words& named) {
    if (!named.contains("retry_for")) return std::chrono::seconds(60);
    if (named.at("retry_for") == "default") return std::nullopt;
    return std::chrono::seconds(std::stoull(named.at("retry_for")));
  }

  Event ToEvent(const std::vector<std::string>& words) {
    const Words named = Named(words);
    auto number = [&named](const std::string& name, std::uint64_t otherwise) {
      return named.contains(name) ? std::stoull(named.at(name)) : otherwise;
    };
    const std::string& what = words.at(1);
    if (what == "tick") return Tick{};
    if (what == "report") return ToReport(words, named);
    if (what == "worker") return ToWorker(words.at(2), named);
    if (what == "drain") return DrainRequested{words.at(2)};
    const SessionKey session = words.at(2).at(0);
    if (what == "scanned") return ScanCompleted{session};
    if (what == "scan_begins") return ScanBegun{session};
    if (what == "continue") return ContinueRequested{session};
    if (what == "suspend") return SuspendRequested{session};
    if (what == "cancel") return CancelRequested{.session = session, .reason = "cancelled by an operator"};
    if (what == "restored") {
      study_of_lease_[number("lease", 0)] = static_cast<StudyKey>(number("study", 0));
      return LeaseRestored{.session = session,
                           .study = static_cast<StudyKey>(number("study", 0)),
                           .lease = number("lease", 0),
                           .worker = named.at("worker")};
    }
    if (what == "open") {
      return SessionOpened{.session = session,
                           .destination = named.at("dest"),
                           .endpoint = named.contains("endpoint") ? named.at("endpoint") : "",
                           .calling_ae = named.contains("calling") ? named.at("calling") : "",
                           .dispatch_as_found = named.contains("as_found"),
                           .scan_complete = named.contains("scanned"),
                           .attempts_max = static_cast<std::uint32_t>(number("attempts", 5)),
                           .retry_for = RetryFor(named),
                           .stored_before = named.contains("stored")};
    }
    if (what != "feed") throw std::runtime_error("unknown event: " + what);
    const auto study = static_cast<StudyKey>(number("study", 0));
    const auto count = static_cast<std::uint32_t>(number("instances", 1));
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto index = static_cast<std::uint32_t>(studies_[study].instances.size());
      studies_[study].instances[index] = InstanceFacts{.index = index};
    }
    return StudiesFed{session, {{.study = study, .pending = count, .pending_bytes = number("bytes", 100)}}};
  }

  static Event ToWorker(const std::string& name, const Words& named) {
    WorkerSeen seen{.worker = name,
                    .incarnation = named.contains("incarnation") ? std::stoull(named.at("incarnation")) : 1,
                    .seq = named.contains("seq") ? std::stoull(named.at("seq")) : 0,
                    .capacity = static_cast<std::uint32_t>(std::stoul(named.at("capacity"))),
                    .draining = named.contains("draining"),
                    .held = {}};
    for (bool progressed : {true, false}) {
      const std::string key = progressed ? "holds" : "stuck";
      if (!named.contains(key)) continue;
      for (const auto& lease : Split(named.at(key), ',')) seen.held.push_back({std::stoull(lease), progressed});
    }
    return seen;
  }

  Event ToReport(const std::vector<std::string>& words, const Words& named) {
    const LeaseId lease = std::stoull(named.at("lease"));
    Reported report{.lease = lease,
                    .study = study_of_lease_.at(lease),
                    .suspect_end = 0,
                    .associations = static_cast<std::uint32_t>(
                        named.contains("associations") ? std::stoul(named.at("associations")) : 1),
                    .outcomes = {},
                    .give_back = {}};
    StudyFacts& study = studies_.at(report.study);
    report.suspect_end = study.suspect_end;
    for (const auto& word : words) {
      const auto colon = word.find(':');
      if (colon == std::string::npos) continue;
      OutcomeReported reported;
      reported.outcome.set_index(static_cast<std::uint32_t>(std::stoul(word)));
      const std::string result = word.substr(colon + 1);
      if (result == "with-others") {
        reported.outcome.set_kind(wire::Outcome::UNANSWERED);
        reported.outcome.set_may_be_stored(true);
        reported.outcome.set_reason("association lost");
      } else if (result == "lost" || result == "unanswered") {
        reported.outcome.set_kind(wire::Outcome::ASSOCIATION_LOST);
        reported.outcome.set_may_be_stored(result == "unanswered");
        reported.outcome.set_reason("association lost");
      } else if (result == "unsendable") {
        reported.outcome.set_kind(wire::Outcome::NOT_SENDABLE);
        reported.outcome.set_reason("not decodable");
      } else if (result == "unreadable") {
        reported.outcome.set_kind(wire::Outcome::UNREADABLE);
        reported.outcome.set_reason("vanished");
      } else if (result == "away") {
        reported.outcome.set_kind(wire::Outcome::UNREADABLE);
        reported.outcome.set_storage_away(true);
        reported.outcome.set_reason("the folder /data is missing");
      } else {
        reported.outcome.set_status(static_cast<std::uint32_t>(std::stoul(result, nullptr, 16)));
      }
      reported.facts = study.instances.at(reported.outcome.index());
      report.outcomes.push_back(reported);
    }
    if (!named.contains("back")) return report;
    report.give_back = ToGiveBack(named.at("back"));
    report.give_back->set_echo_answered(named.contains("echo"));
    return report;
  }

  static wire::GiveBack ToGiveBack(const std::string& reason) {
    static const std::map<std::string, std::pair<wire::GiveBack::Reason, const char*>> kReasons = {
        {"done", {wire::GiveBack::DONE, ""}},
        {"draining", {wire::GiveBack::DRAINING, ""}},
        {"transient", {wire::GiveBack::DESTINATION_TRANSIENT, "connection refused"}},
        {"busy", {wire::GiveBack::DESTINATION_BUSY, "temporary congestion"}},
        {"rejected", {wire::GiveBack::DESTINATION_REJECTED, "no reason given"}},
        {"refused", {wire::GiveBack::DESTINATION_REFUSED, "unknown AE title"}}};
    const auto& [value, detail] = kReasons.at(reason);
    wire::GiveBack back;
    back.set_reason(value);
    back.set_detail(detail);
    return back;
  }

  std::string Apply(const InstanceChange& change) {
    auto& facts = studies_.at(change.study).instances.at(change.index);
    facts.state = change.state;
    facts.attempts = change.attempts;
    facts.may_be_stored = change.may_be_stored;
    return fmt::format("instance {}/{} {} attempts={}{}{}", change.study, change.index, StateName(change.state),
                       change.attempts, change.resend ? " resend" : "",
                       change.reason.empty() ? "" : " (" + change.reason + ")");
  }
  std::string Apply(const LeaseGranted& change) {
    study_of_lease_[change.lease] = change.study;
    return fmt::format("lease {} of study {} to {}", change.lease, change.study, change.worker);
  }
  std::string Apply(const LeaseEnded& change) {
    StudyFacts& study = studies_.at(change.study);
    if (!change.clean) study.suspect_end = static_cast<std::uint32_t>(study.instances.size());
    return fmt::format("lease of study {} ended{}", change.study, change.clean ? "" : " uncleanly");
  }
  std::string Apply(const StudyFailed& change) {
    for (auto& [index, facts] : studies_.at(change.study).instances) {
      if (!IsSettled(facts.state)) facts.state = InstanceState::kFailed;
    }
    return fmt::format("study {} failed ({})", change.study, change.reason);
  }
  std::string Apply(const SessionChanged& change) {
    return fmt::format("session {} {}{}", static_cast<char>(change.session), wire::SessionState_Name(change.state),
                       change.reason.empty() ? "" : " (" + change.reason + ")");
  }
  static std::string Show(const GrantReply& reply) {
    return fmt::format("tell {} grant lease={} study={}", reply.worker, reply.lease, reply.study);
  }
  static std::string Show(const StatusReply& reply) {
    return fmt::format("tell {} renewed=[{}] revoked=[{}]{}", reply.worker, fmt::join(reply.renewed, ","),
                       fmt::join(reply.revoked, ","), reply.drain ? " drain" : "");
  }

  Scheduler scheduler_;
  std::map<StudyKey, StudyFacts> studies_;
  std::map<LeaseId, StudyKey> study_of_lease_;
};

std::filesystem::path ScenarioFolder() { return std::filesystem::path(GOLDEN_FOLDER) / "scheduler"; }

std::vector<std::string> Scenarios() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(ScenarioFolder())) {
    names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class SchedulerGolden : public testing::TestWithParam<std::string> {};

TEST_P(SchedulerGolden, ScenariosMatchTheirExpectedOutput) {
  const auto file = ScenarioFolder() / (GetParam() + ".txt");
  std::ifstream input(file);
  ScenarioRunner runner;
  std::string expected, actual;
  for (std::string line; std::getline(input, line);) {
    expected += line + "\n";
    if (line.starts_with("> ")) continue;
    actual += line + "\n";
    if (line.empty() || line.starts_with("#")) continue;
    for (const auto& answer : runner.Run(line)) actual += "> " + answer + "\n";
  }
  if (std::getenv("GOLDEN_UPDATE")) std::ofstream(file) << actual;
  EXPECT_EQ(expected, actual);
}

INSTANTIATE_TEST_SUITE_P(Scenarios, SchedulerGolden, testing::ValuesIn(Scenarios()),
                         [](const auto& scenario) { return scenario.param; });

}  // namespace
}  // namespace dicom_sender
