// Sends one study: plans its presentation contexts, opens its association, stores one instance after the other, and
// reports what became of each. It decides nothing about retries: it reports what it saw, and the coordinator judges
// it.
#pragma once

#include "worker/sending/sending_context.h"
#include "worker/sending/study_port.h"

namespace dicom_sender {

// Returns when the study is done, has to be given back, or a stop was requested; then all its associations are over.
// After an association was lost, sending goes on with the next instance on a new association; after three losses in a
// row without a response between them, the study is given back. The first loss that is attributed to the proposal of
// a window does not count, and uses no attempt (see WindowMemory). Before a study is given back because of its
// association, a C-ECHO on a separate association shows whether the destination answers at all.
wire::GiveBack SendStudy(const wire::LeaseGrant& grant, StudyPort& port, const SendingContext& context);

}  // namespace dicom_sender
