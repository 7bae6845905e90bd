// Prepares the dataset of one instance for sending: unchanged from the file, or encoded anew.
#pragma once

#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "common/unique_fd.h"
#include "dicom/network/association.h"
#include "worker.pb.h"
#include "worker/association/context_plan.h"
#include "worker/metrics.h"
#include "worker/sending/source_file.h"

namespace dicom_sender {

struct Payload {
  ContextChoice choice;
  UniqueFd encoded;  // an unnamed file, if the dataset was encoded anew
  DatasetBytes bytes;
};

// An instance that will be sent later: its file is open, and the kernel reads it ahead.
struct Opened {
  std::shared_ptr<const wire::Page> page;  // owns the instance
  const wire::Instance* instance = nullptr;
  std::string path;
  tl::expected<SourceFile, SourceProblem> source;
};

// Why an instance cannot be sent.
struct CannotSend {
  wire::Outcome::Kind kind = wire::Outcome::NOT_SENDABLE;
  std::string reason;
  bool storage_away = false;  // as in Outcome
};

CannotSend Unreadable(const SourceProblem& problem);

struct PayloadContext {
  const std::vector<ProposedContext>& proposed;
  Association& association;  // it was opened with these
  WorkerMetrics& metrics;
  unsigned thread = 0;  // for the log
};

tl::expected<Payload, CannotSend> PreparePayload(const Opened& opened, const PayloadContext& context);

}  // namespace dicom_sender
