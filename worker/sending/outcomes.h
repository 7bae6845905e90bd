// What is reported of an instance.
#pragma once

#include <string>

#include "common/time.h"
#include "worker.pb.h"

namespace dicom_sender {

wire::Outcome OutcomeOf(const wire::Instance& instance, wire::Outcome::Kind kind, const std::string& reason,
                        Duration duration = {});

// Of an instance on a lost association. If others were on it, too, it is unknown which one caused the loss.
wire::Outcome::Kind LossKind(bool alone);

}  // namespace dicom_sender
