// Takes in what indexers publish. coordinator/ledger/intake.h judges it.
#pragma once

#include <vector>

#include "coordinator/ledger/postgresql/store.h"

namespace dicom_sender::postgresql {

// As Ledger says. What is known is looked up for the whole batch at once, and what is new is written at once.
std::vector<StudyFeed> AddStudies(Store& store, SessionKey session, const wire::PublishBatch& batch);

}  // namespace dicom_sender::postgresql
