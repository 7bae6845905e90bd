// Takes in what indexers publish. coordinator/ledger/intake.h judges it.
#pragma once

#include <vector>

#include "coordinator/ledger/sqlite/store.h"

namespace dicom_sender::sqlite {

// As Ledger says.
std::vector<StudyFeed> AddStudies(Store& store, SessionKey session, const wire::PublishBatch& batch);

}  // namespace dicom_sender::sqlite
