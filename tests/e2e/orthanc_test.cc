// Against Orthanc, started on free ports with all its data in the test's folder.
#include "tests/support/orthanc.h"

#include <fmt/format.h>

#include "tests/e2e/archives.h"
#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

class OrthancTest : public SenderTest {
 protected:
  void SetUp() override {
    port_ = FindFreePort();
    http_port_ = FindFreePort();
    const auto command = OrthancCommand(folder_ / ".", port_, http_port_);
    if (command.empty()) GTEST_SKIP() << "Orthanc is not installed";
    if (FindProgram("curl").empty()) GTEST_SKIP() << "curl is not installed";
    archive_ = std::make_unique<Archive>(command, port_, folder_ / "orthanc");
    ASSERT_TRUE(WaitForPort(http_port_, kRunTimeout));
  }

  rapidjson::Document Get(const std::string& path) const {
    const auto result = RunProcess(
        {"curl", "-sSf", "--noproxy", "*", fmt::format("http://127.0.0.1:{}{}", http_port_, path)}, kRunTimeout);
    EXPECT_EQ(result.end, (ProcessEnd{0, 0})) << path << result.errors;
    rapidjson::Document document;
    document.Parse(result.output.c_str());
    EXPECT_FALSE(document.HasParseError()) << result.output;
    return document;
  }

  std::uint16_t http_port_ = 0;
  std::unique_ptr<Archive> archive_;
};

TEST_F(OrthancTest, HasTheInstancesOfTheSummary) {
  WriteExampleStudies(data() / "first", 4, 10);
  EXPECT_EQ(Run({"-t", "4"}), 0) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  const auto statistics = Get("/statistics");
  EXPECT_EQ(Number(statistics, "CountInstances"), Number(summary, "successful_transfers"));
  EXPECT_EQ(Number(statistics, "CountInstances"), 40U);
  EXPECT_EQ(Number(statistics, "CountStudies"), summary["studies_processed"].Size());

  // Sends everything once more over one association: existing instances are answered with success and not duplicated.
  std::filesystem::remove_all(out());
  EXPECT_EQ(Run({"-t", "1"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 40U);
  EXPECT_EQ(Number(Get("/statistics"), "CountInstances"), 40U);
}

TEST_F(OrthancTest, CompressedFilesStayCompressed) {
  if (FindProgram("dcmcjpeg").empty()) GTEST_SKIP() << "dcmcjpeg is not installed";
  ExampleInstance instance;
  instance.pixel_bytes = 4096;
  WriteFile(folder_ / "plain.dcm", ExampleFile(instance));
  std::filesystem::create_directories(data());
  ASSERT_EQ(RunProcess({"dcmcjpeg", folder_ / "plain.dcm", data() / "jpeg.dcm"}, kRunTimeout).end,
            (ProcessEnd{0, 0}));
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  const auto instances = Get("/instances");
  ASSERT_EQ(instances.Size(), 1U);
  const auto header = Get(fmt::format("/instances/{}/header?simplify", instances[0].GetString()));
  EXPECT_STREQ(header["TransferSyntaxUID"].GetString(), "1.2.840.10008.1.2.4.70");
}

TEST_F(OrthancTest, AnswersAnEcho) {
  EXPECT_EQ(
      RunCommand({DICOM_SENDER_PROGRAM, "--echo", "-a", "TEST_SCP", "-H", "127.0.0.1", "-p", std::to_string(port_)}),
      0)
      << result_.output << result_.errors;
}

}  // namespace
}  // namespace dicom_sender
