// Exit statuses of the programs that send or watch a session. docs/options.md documents them.
#pragma once

namespace dicom_sender {

inline constexpr int kExitAllStored = 0;
inline constexpr int kExitSomeFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitDestination = 3;
inline constexpr int kExitInterrupted = 4;
inline constexpr int kExitInternal = 70;
inline constexpr int kExitCannotWrite = 74;  // the ledger or a report cannot be written or is gone

}  // namespace dicom_sender
