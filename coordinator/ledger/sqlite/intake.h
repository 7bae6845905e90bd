// Stores what indexers publish. coordinator/ledger/intake.h has the rules.
#pragma once

#include <vector>

#include "coordinator/ledger/sqlite/store.h"

namespace dicom_sender::sqlite {

// Ledger describes this function.
std::vector<StudyFeed> AddStudies(Store& store, SessionKey session, const wire::PublishBatch& batch);

}  // namespace dicom_sender::sqlite
