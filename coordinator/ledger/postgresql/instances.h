// Instances and their outcomes. LedgerReader and Ledger describe these functions.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "coordinator/ledger/postgresql/store.h"

namespace dicom_sender::postgresql {

wire::Page LoadPage(Store& store, StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit);
std::vector<InstanceFacts> LoadInstances(Store& store, StudyKey study, std::span<const std::uint32_t> indices);
void ChangeInstances(Store& store, std::span<const InstanceChange> changes, WallTime now);
std::uint64_t FailStudy(Store& store, StudyKey study, std::string_view reason, WallTime now);
std::vector<StudyFeed> Requeue(Store& store, SessionKey session, const RequeueFilter& filter);

}  // namespace dicom_sender::postgresql
