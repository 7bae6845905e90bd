// Sends one study: plans its presentation contexts, opens its association, sends its instances, and reports the
// outcome of each. It does not decide about retries: it reports what happened, and the coordinator decides.
#pragma once

#include "worker/sending/sending_context.h"
#include "worker/sending/study_port.h"

namespace dicom_sender {

// Returns when the study is done or must be given back, or after a stop request; then all its associations have
// ended. After the loss of an association, sending continues with the next instance on a new association. After three
// losses in a row without a response between them, the study is given back. The first loss that is attributed to the
// proposal of a window does not count and uses no attempt (see WindowMemory). Before a study is given back because of
// its association, a C-ECHO on a separate association shows whether the destination answers at all.
wire::GiveBack SendStudy(const wire::LeaseGrant& grant, StudyPort& port, const SendingContext& context);

}  // namespace dicom_sender
