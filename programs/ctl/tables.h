// Renders the coordinator's replies as text.
#pragma once

#include <string>

#include "client.pb.h"
#include "programs/ctl/options.h"

namespace dicom_sender {

std::string SessionsTable(const wire::SessionList& list);
std::string SessionText(const wire::SessionReport& shown);
std::string WorkersTable(const wire::WorkerList& list);
std::string DestinationsTable(const wire::DestinationList& list);
std::string FailuresHeading();
std::string FailureLine(const wire::FailureList::Entry& failure);
// Names the conditions that no failed instance meets.
std::string NothingRequeued(const CtlOptions& options);

}  // namespace dicom_sender
