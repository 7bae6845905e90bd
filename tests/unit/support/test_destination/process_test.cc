#include "tests/support/process.h"

#include <gmock/gmock.h>
#include <signal.h>

#include <system_error>

#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{20000};

TEST(Process, CapturesOutputErrorsAndExitStatus) {
  const ProcessResult result = RunProcess({"sh", "-c", "echo out; echo err >&2; exit 7"}, kLong);
  EXPECT_EQ(result.end, (ProcessEnd{7, 0}));
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.errors, "err\n");
}

TEST(Process, AddsToTheEnvironment) {
  const ProcessResult result = RunProcess({"sh", "-c", "echo $PROCESS_TEST $HOME"}, kLong, {"PROCESS_TEST=yes"});
  EXPECT_EQ(result.output, "yes " + std::string(::getenv("HOME")) + "\n");
}

TEST(Process, IsNotBlockedByMuchOutput) {
  const ProcessResult result = RunProcess({"head", "-c", "3000000", "/dev/zero"}, kLong);
  EXPECT_EQ(result.end, (ProcessEnd{0, 0}));
  EXPECT_EQ(result.output.size(), 3000000U);
}

TEST(Process, ReportsWhetherItRunsAndHowItEnded) {
  ChildProcess child({"sleep", "1000"});
  EXPECT_EQ(child.Wait(milliseconds(0)), std::nullopt);
  child.Signal(SIGTERM);
  EXPECT_EQ(child.Wait(kLong), (ProcessEnd{-1, SIGTERM}));
}

TEST(Process, IsKilledByTheDestructor) {
  pid_t id = 0;
  {
    const ChildProcess child({"sleep", "1000"});
    id = child.id();
  }
  EXPECT_EQ(::kill(id, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(Process, IsKilledAfterTheTimeOut) {
  EXPECT_EQ(RunProcess({"sleep", "1000"}, milliseconds(20)).end, std::nullopt);
}

TEST(Process, WaitsForText) {
  ChildProcess child({"sh", "-c", "echo ready; exec sleep 1000"});
  EXPECT_TRUE(child.WaitForText("ready", kLong));
  EXPECT_FALSE(child.WaitForText("never", milliseconds(20)));
  ChildProcess brief({"echo", "gone"});
  EXPECT_FALSE(brief.WaitForText("never", kLong));
  EXPECT_TRUE(brief.WaitForText("gone", milliseconds(0)));
}

TEST(Process, ThrowsIfTheProgramDoesNotExist) {
  EXPECT_THROW(ChildProcess({"no-such-program-here"}), std::system_error);
}

TEST(Ports, AFreePortDoesNotAnswer) { EXPECT_FALSE(WaitForPort(FindFreePort(), milliseconds(20))); }

TEST(TemporaryFolder, ExistsAsLongAsTheObject) {
  std::filesystem::path path;
  {
    const TemporaryFolder folder;
    path = folder.path();
    std::filesystem::create_directories(folder / "below" / "it");
    EXPECT_TRUE(std::filesystem::is_directory(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace dicom_sender
