// Builds the reported outcomes of instances.
#pragma once

#include <string>

#include "common/time.h"
#include "worker.pb.h"

namespace dicom_sender {

wire::Outcome OutcomeOf(const wire::Instance& instance, wire::Outcome::Kind kind, const std::string& reason,
                        Duration duration = {});

// The outcome of an instance on a lost association. If others were in flight, too, any of them may have caused the
// loss.
wire::Outcome::Kind LossKind(bool alone);

}  // namespace dicom_sender
