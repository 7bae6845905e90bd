// The settings that belong to dicom-sender itself, as the ledger keeps them for a resume.
#pragma once

#include "client.pb.h"
#include "programs/sender/options.h"

namespace dicom_sender {

wire::ProgramSettings ToProgramSettings(const SenderOptions& options);

// Those that were not given become what they were.
void TakeOver(const wire::ProgramSettings& known, SenderOptions& options);

}  // namespace dicom_sender
