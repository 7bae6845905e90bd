// Stores what indexers publish. coordinator/ledger/intake.h has the rules.
#pragma once

#include <vector>

#include "coordinator/ledger/postgresql/store.h"

namespace dicom_sender::postgresql {

// Ledger describes this function. It looks up and writes the whole batch with a few statements.
std::vector<StudyFeed> AddStudies(Store& store, SessionKey session, const wire::PublishBatch& batch);

}  // namespace dicom_sender::postgresql
