// Converts the settings of dicom-sender itself, which the ledger keeps for a resumed run.
#pragma once

#include "client.pb.h"
#include "programs/sender/options.h"

namespace dicom_sender {

wire::ProgramSettings ToProgramSettings(const SenderOptions& options);

// Sets the options that were not given to their values in the earlier run.
void TakeOver(const wire::ProgramSettings& known, SenderOptions& options);

}  // namespace dicom_sender
