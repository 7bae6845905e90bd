// The program test-destination: options, script, files, signals.
#include <gmock/gmock.h>
#include <rapidjson/document.h>
#include <signal.h>

#include <sstream>

#include "tests/support/example_studies.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/support/test_destination/raw_peer.h"
#include "tests/unit/support/test_destination/scripted_destination.h"

namespace dicom_sender {
namespace {

class Program {
 public:
  explicit Program(const TemporaryFolder& folder, std::vector<std::string> options) {
    const std::string port_file = folder / "port";
    options.insert(options.begin(), {TEST_DESTINATION_PROGRAM, "--port-file", port_file});
    child_ = std::make_unique<ChildProcess>(options);
    if (!child_->WaitForText("listening", kLong)) throw std::runtime_error(child_->Errors());
    port_ = static_cast<std::uint16_t>(std::stoi(ReadFile(port_file)));
  }
  ChildProcess& child() { return *child_; }
  std::uint16_t StatusOfOneStore() const {
    RawPeer peer(port_);
    peer.Associate();
    peer.Store(1, "1.2.1", "dataset!");
    const std::uint16_t status = peer.ReadAnswer().status;
    peer.Release();
    return status;
  }

 private:
  std::unique_ptr<ChildProcess> child_;
  std::uint16_t port_ = 0;
};

std::vector<rapidjson::Document> Lines(const std::string& text) {
  std::vector<rapidjson::Document> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.emplace_back().Parse(line.c_str());
  return lines;
}

TEST(TestDestinationProgram, ReloadsItsScriptAndEndsOnSigterm) {
  const TemporaryFolder folder;
  WriteFile(folder / "script", "rule status=C001\n");
  Program program(folder, {"--script", folder / "script"});
  EXPECT_EQ(program.StatusOfOneStore(), 0xC001);
  WriteFile(folder / "script", "rule status=A700\n");
  program.child().Signal(SIGHUP);
  ASSERT_TRUE(program.child().WaitForText("script read again", kLong));
  EXPECT_EQ(program.StatusOfOneStore(), 0xA700);
  program.child().Signal(SIGTERM);
  EXPECT_EQ(program.child().Wait(kLong), (ProcessEnd{0, 0}));
}

TEST(TestDestinationProgram, LogsAndStores) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "store");
  Program program(folder,
                  {"--log", folder / "log", "--store", folder / "store", "--hash", "--do", "rule status=B000"});
  EXPECT_EQ(program.StatusOfOneStore(), 0xB000);
  program.child().Signal(SIGTERM);
  ASSERT_EQ(program.child().Wait(kLong), (ProcessEnd{0, 0}));
  EXPECT_EQ(ReadFile(folder / "store/1.2.1"), "dataset!");
  const auto lines = Lines(ReadFile(folder / "log"));
  ASSERT_EQ(lines.size(), 2U);
  const rapidjson::Document &instance = lines[0], &association = lines[1];
  ASSERT_TRUE(instance.IsObject() && association.IsObject());
  EXPECT_STREQ(instance["type"].GetString(), "instance");
  EXPECT_EQ(instance["association"].GetInt(), 1);
  EXPECT_STREQ(instance["sop_class"].GetString(), kSecondaryCapture.c_str());
  EXPECT_STREQ(instance["sop_instance"].GetString(), "1.2.1");
  EXPECT_STREQ(instance["transfer_syntax"].GetString(), kExplicitLittleEndian.c_str());
  EXPECT_EQ(instance["bytes"].GetInt(), 8);
  EXPECT_TRUE(instance["complete"].GetBool());
  EXPECT_STREQ(instance["status"].GetString(), "B000");
  EXPECT_EQ(std::stoull(instance["fnv1a"].GetString(), nullptr, 16), Fnv1a("dataset!"));
  EXPECT_GE(instance["received_us"].GetInt64(), association["started_us"].GetInt64());
  EXPECT_STREQ(association["type"].GetString(), "association");
  EXPECT_EQ(association["number"].GetInt(), 1);
  EXPECT_GE(association["ended_us"].GetInt64(), association["started_us"].GetInt64());
  EXPECT_STREQ(association["calling_ae"].GetString(), "RAW_PEER");
  EXPECT_STREQ(association["called_ae"].GetString(), "DESTINATION");
  EXPECT_EQ(association["instances"].GetInt(), 1);
  EXPECT_STREQ(association["end"].GetString(), "released");
  const auto& context = association["contexts"][0];
  EXPECT_STREQ(context["abstract_syntax"].GetString(), kSecondaryCapture.c_str());
  EXPECT_STREQ(context["proposed"][0].GetString(), kExplicitLittleEndian.c_str());
  EXPECT_STREQ(context["accepted"].GetString(), kExplicitLittleEndian.c_str());
}

TEST(TestDestinationProgram, RefusesABadScript) {
  const ProcessResult result = RunProcess({TEST_DESTINATION_PROGRAM, "--do", "fly high"}, kLong);
  EXPECT_EQ(result.end, (ProcessEnd{2, 0}));
  EXPECT_THAT(result.errors, testing::HasSubstr("line 1: unknown word 'fly'"));
}

}  // namespace
}  // namespace dicom_sender
