// Interprets bytes as events for the scheduler and its model (tests/model/scheduler_duel.h), which must agree.
#include <cstdio>
#include <cstdlib>

#include "tests/model/scheduler_duel.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto difference = dicom_sender::RunSchedulerDuel({data, size});
  if (!difference) return 0;
  std::fprintf(stderr, "%s\n", difference->c_str());
  std::abort();
}
