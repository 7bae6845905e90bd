#include "tests/e2e/migration_fixture.h"

#include <thread>

#include "tests/e2e/ledger_reader.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kLookEvery(50);
constexpr std::size_t kShownBytesMax = 20'000;  // per log

std::string Tail(const std::string& text) {
  if (text.size() <= kShownBytesMax) return text;
  return "[...]" + text.substr(text.size() - kShownBytesMax);
}

// Adds the default options (with their values) that `more` does not replace to the command.
Words Complete(Words command, const Words& defaults, const Words& more) {
  for (std::size_t i = 0; i < defaults.size(); i += 2) {
    if (std::find(more.begin(), more.end(), defaults[i]) != more.end()) continue;
    command.insert(command.end(), {defaults[i], defaults[i + 1]});
  }
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

}  // namespace

bool Eventually(const std::function<bool()>& condition, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kLookEvery);
  }
  return true;
}

// --- Program

void Program::Start() {
  earlier_errors_ = AllErrors();
  process_ = std::make_unique<ChildProcess>(command_);
}

void Program::Kill() {
  process_->Signal(SIGKILL);
  EXPECT_EQ(process_->Wait(kPatience), (ProcessEnd{-1, SIGKILL})) << name_ << " had ended before\n" << Tail(Errors());
}

int Program::Wait(std::chrono::milliseconds timeout) {
  const auto end = process_->Wait(timeout);
  if (!end) {
    ADD_FAILURE() << name_ << " does not end";
    return -1;
  }
  EXPECT_EQ(end->signal, 0) << name_;
  return end->exit_status;
}

int Program::Stop() {
  Signal(SIGTERM);
  return Wait();
}

std::string Program::AllErrors() const { return process_ ? earlier_errors_ + process_->Errors() : earlier_errors_; }

// --- MigrationTest

void MigrationTest::TearDown() {
  if (!HasFailure()) return;
  for (const auto& program : programs_) {
    std::cerr << "--- " << program->name() << "\n" << Tail(program->AllErrors());
  }
}

void MigrationTest::StartDestination(DestinationBehaviour behaviour) {
  destination_.SetBehaviour(std::move(behaviour));
  const auto started = destination_.Start();
  ASSERT_TRUE(started) << started.error();
}

Program& MigrationTest::Coordinator(const Words& more) {
  const Words defaults = {"--ledger", ledger(), "--bind", endpoint(), "--lease-ttl", "5"};
  coordinator_ = &Add("coordinator", Complete({COORDINATOR_PROGRAM, "--output-dir", out()}, defaults, more));
  return *coordinator_;
}

Program& MigrationTest::Worker(const std::string& name, const Words& more) {
  return Add("worker " + name, Complete({WORKER_PROGRAM, "--worker-id", name}, {"--coordinator", endpoint()}, more));
}

Program& MigrationTest::Indexer(const Words& more) {
  return Add("indexer", Complete({INDEXER_PROGRAM}, {"--coordinator", endpoint()}, more));
}

Program& MigrationTest::Add(std::string name, Words command) {
  return *programs_.emplace_back(std::make_unique<Program>(std::move(name), std::move(command)));
}

Words MigrationTest::NewSession(const Words& more, const std::string& host) const {
  return Complete({"-i", data(), "-r"},
                  {"-a", "TEST_SCP", "-H", host, "-p", std::to_string(destination_port_.number())}, more);
}

Program& MigrationTest::StartCoordinator(const Words& more) {
  Program& coordinator = Coordinator(more);
  StartAndListen(coordinator);
  return coordinator;
}

void MigrationTest::StartAndListen(Program& coordinator) {
  coordinator.Start();
  EXPECT_TRUE(coordinator.WaitForText("Listening on")) << coordinator.Errors();
}

Program& MigrationTest::StartWorker(const std::string& name, const Words& more) {
  Program& worker = Worker(name, more);
  worker.Start();
  return worker;
}

std::string MigrationTest::Feed(const Words& more, const std::string& host) {
  Program& indexer = Indexer(NewSession(more, host));
  indexer.Start();
  EXPECT_EQ(indexer.Wait(), 0) << indexer.Errors();
  return SessionOf(indexer);
}

std::string MigrationTest::SessionOf(Program& indexer) {
  EXPECT_TRUE(indexer.WaitForText("\n")) << indexer.Errors();
  EXPECT_TRUE(Eventually([&] { return indexer.Output().ends_with('\n'); })) << indexer.Errors();
  const std::string output = indexer.Output();
  return output.substr(0, output.find('\n'));
}

ProcessResult MigrationTest::Ctl(const Words& words) const {
  return RunProcess(Complete({CTL_PROGRAM}, {"--coordinator", endpoint()}, words), kPatience);
}

rapidjson::Document MigrationTest::CtlJson(const Words& words) const {
  Words json = words;
  json.insert(json.end(), {"--format", "json"});
  const ProcessResult result = Ctl(json);
  EXPECT_EQ(result.end, (ProcessEnd{0, 0})) << testing::PrintToString(words) << result.errors;
  rapidjson::Document document;
  document.Parse(result.output.c_str());
  EXPECT_FALSE(document.HasParseError()) << result.output;
  if (document.HasParseError()) document.SetObject();
  return document;
}

std::string MigrationTest::StateOf(const std::string& session) const {
  const auto report = CtlJson({"show", session});
  return report.HasMember("status") ? report["status"]["state"].GetString() : "";
}

std::filesystem::path MigrationTest::SummaryFile(const std::string& session) const {
  return out() / ("dicom_sender_summary_" + session + ".json");
}

rapidjson::Document MigrationTest::SummaryAtEnd(const std::string& session, std::chrono::milliseconds timeout) const {
  rapidjson::Document document(rapidjson::kObjectType);
  const auto file = SummaryFile(session);
  if (!Eventually([&file] { return std::filesystem::exists(file); }, timeout)) {
    ADD_FAILURE() << "session " << session << " does not end";
    return document;
  }
  document.Parse(ReadFile(file).c_str());
  EXPECT_FALSE(document.HasParseError()) << file;
  return document;
}

std::string MigrationTest::Get(std::uint16_t port, const std::string& path) {
  const auto result =
      RunProcess({"curl", "-s", "--max-time", "20", "http://127.0.0.1:" + std::to_string(port) + path}, kPatience);
  return result.output;
}

int MigrationTest::Status(std::uint16_t port, const std::string& path) {
  const auto result = RunProcess({"curl", "-s", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}",
                                  "http://127.0.0.1:" + std::to_string(port) + path},
                                 kPatience);
  return std::atoi(result.output.c_str());
}

double MigrationTest::Metric(std::uint16_t port, const std::string& name) {
  const std::string all = "\n" + Get(port, "/metrics");
  const auto at = all.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::atof(all.c_str() + at + name.size() + 2);
}

bool MigrationTest::WaitUntilStored(std::uint64_t instances) const {
  return destination_.WaitFor([=](const auto& log) { return Stored(log) >= instances; }, kPatience);
}

std::set<std::string> MigrationTest::StoredByLedger(const std::string& session) {
  EXPECT_EQ(coordinator_->Stop(), 0);
  return StoredInLedger(ledger(), session, folder_ / "ledger_copy").value_or(std::set<std::string>());
}

std::uint64_t MigrationTest::ExpectAllStored(const std::string& session,
                                             const std::vector<ExampleInstance>& instances) {
  const auto summary = SummaryAtEnd(session);
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "total_files"), instances.size());
  EXPECT_EQ(Number(summary, "successful_transfers"), instances.size());
  const std::set<std::string> acknowledged = StoredByLedger(session);
  const auto times = StoredTimes(destination_.Log());
  std::uint64_t again = 0;
  for (const ExampleInstance& instance : instances) {
    const auto stored = times.find(instance.sop_instance_uid);
    if (stored == times.end()) {
      ADD_FAILURE() << instance.sop_instance_uid << " never arrived";
      continue;
    }
    again += stored->second - 1;
    EXPECT_TRUE(acknowledged.contains(instance.sop_instance_uid)) << instance.sop_instance_uid;
  }
  EXPECT_EQ(times.size(), instances.size());
  EXPECT_LE(again, Number(summary, "resends")) << "sent twice and not counted";
  return again;
}

}  // namespace dicom_sender
