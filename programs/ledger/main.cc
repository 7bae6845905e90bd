#include <fmt/format.h>

#include "cli/exit_status.h"
#include "cli/guarded_main.h"
#include "coordinator/ledger/instance_words.h"
#include "programs/ledger/copy.h"
#include "programs/ledger/options.h"

namespace {

using namespace dicom_sender;

constexpr int kExitCopied = 0, kExitServer = 3, kExitUnknown = 5;

void TellProgress(const std::string& table, std::uint64_t rows, const LedgerContent& all) {
  fmt::print(stderr, "{}: {} rows so far ({} instances in all)\n", table, rows, all.all_instances());
}

std::string Summary(const LedgerContent& content) {
  std::string text =
      fmt::format("Copied, and counted on both sides:\n  sessions   {}\n  studies    {}\n  instances  {}\n",
                  content.sessions, content.studies, content.all_instances());
  for (std::size_t state = 0; state < content.instances.size(); ++state) {
    text += fmt::format("    {:<20} {}\n", InstanceStateWord(static_cast<InstanceState>(state)),
                        content.instances[state]);
  }
  return text;
}

int ExitStatus(CopyTrouble::Kind kind) {
  switch (kind) {
    case CopyTrouble::Kind::kRefused:
      return kExitUsage;
    case CopyTrouble::Kind::kServer:
      return kExitServer;
    case CopyTrouble::Kind::kUnknown:
      return kExitUnknown;
  }
  return kExitInternal;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = ParseLedgerOptions(argc, argv);
  if (!options) return LeaveEarly(options.error());
  return GuardedMain("dicom-ledger", [&](Console& console) {
    const auto copied = CopyLedger(options->file, options->uri, TellProgress);
    if (!copied) {
      console.Error(copied.error().sentence);
      return ExitStatus(copied.error().kind);
    }
    console.Print(Summary(*copied));
    return kExitCopied;
  });
}
