// Studies. LedgerReader describes these functions.
#pragma once

#include <vector>

#include "coordinator/ledger/postgresql/store.h"

namespace dicom_sender::postgresql {

StudyRecord LoadStudy(Store& store, StudyKey study);
std::vector<StudyRecord> Studies(Store& store, SessionKey session, StudyKey after, std::size_t limit);
std::vector<StudyFeed> UnsettledStudies(Store& store, SessionKey session, StudyKey after, std::size_t limit);
std::vector<StudyRecord> LeasedStudies(Store& store, SessionKey session);
std::vector<wire::ContextPair> ContextPairs(Store& store, StudyKey study, std::size_t limit);

}  // namespace dicom_sender::postgresql
