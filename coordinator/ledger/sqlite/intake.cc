#include "coordinator/ledger/sqlite/intake.h"

#include "coordinator/ledger/intake.h"
#include "coordinator/ledger/sqlite/copies.h"

namespace dicom_sender::sqlite {
namespace {

Intake::StudyInLedger FindOrAddStudy(Store& store, SessionKey session, std::string_view uid) {
  auto& row = store.db().Query(
      "SELECT key, total, accession_number IS NOT NULL FROM study WHERE session = ? AND uid = ?", session, uid);
  if (row.executeStep()) {
    const Intake::StudyInLedger study{.key = row.getColumn(0).getInt64(),
                                      .instances = row.getColumn(1).getUInt(),
                                      .has_accession_number = row.getColumn(2).getInt() != 0};
    row.reset();
    return study;
  }
  row.reset();
  store.db().Execute("INSERT INTO study (session, uid) VALUES (?, ?)", session, uid);
  return {.key = store.db().LastInsertedKey(), .is_new = true};
}

void LookUp(Store& store, SessionKey session, const std::vector<std::int64_t>& hashes, Intake& intake) {
  for (const std::int64_t hash : hashes) {
    auto& rows = store.db().Query(
        "SELECT k.study, k.idx, r.path, i.path, i.sop_instance, i.state FROM known k"
        " JOIN instance i ON i.study = k.study AND i.idx = k.idx JOIN root r ON r.id = i.root"
        " WHERE k.session = ? AND k.hash = ?",
        session, hash);
    while (rows.executeStep()) {
      intake.AddKnown(hash, {.study = rows.getColumn(0).getInt64(),
                             .index = rows.getColumn(1).getUInt(),
                             .root = rows.getColumn(2).getString(),
                             .path = rows.getColumn(3).getString(),
                             .sop_instance_uid = rows.getColumn(4).getString(),
                             .state = static_cast<InstanceState>(rows.getColumn(5).getInt())});
    }
    rows.reset();
  }
}

void WriteFile(Store& store, SessionKey session, const Intake::NewFile& file, std::int64_t root, std::int64_t pair) {
  const wire::Instance& instance = *file.instance;
  store.db().Execute(
      "INSERT INTO instance (study, idx, root, path, pair, sop_instance, size, mtime, data_offset, state, reason, "
      "defect)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), ?)",
      file.study, std::int64_t{file.index}, root, Blob{instance.path()}, pair, instance.sop_instance_uid(),
      static_cast<std::int64_t>(instance.size_bytes()), instance.mtime_ns(),
      static_cast<std::int64_t>(instance.dataset_offset()), static_cast<std::int64_t>(file.state), file.reason,
      std::int64_t{file.state == InstanceState::kFailed});
  store.db().Execute("INSERT INTO known VALUES (?, ?, ?, ?)", session, file.hash, file.study,
                     std::int64_t{file.index});
}

void Write(Store& store, SessionKey session, const std::string& indexer, const Intake& intake,
           const Intake::Decision& decision) {
  std::vector<std::int64_t> roots, pairs;
  for (const std::string_view path : intake.roots()) roots.push_back(store.RootId(session, path));
  for (const auto& [sop_class, syntax] : intake.pairs()) pairs.push_back(store.PairId(sop_class, syntax));
  for (const auto& [study, number] : decision.accession_numbers) {
    store.db().Execute("UPDATE study SET accession_number = ? WHERE key = ?", number, study);
  }
  for (const Intake::NewFile& file : decision.files) {
    WriteFile(store, session, file, roots[file.root], pairs[file.pair]);
    if (file.original) AddCopy(store, session, indexer, file, *file.original);
  }
  for (const auto& [study, pair] : decision.study_pairs) {
    store.db().Execute("INSERT OR IGNORE INTO study_pair VALUES (?, ?)", study, pairs[pair]);
  }
  for (const auto& [study, growth] : decision.growth) store.AddToStudy(study, growth);
  store.growths().Add(session, decision.growth_in_all, decision.new_studies);
}

}  // namespace

std::vector<StudyFeed> AddStudies(Store& store, SessionKey session, const wire::PublishBatch& batch) {
  Intake intake(batch);
  LookUp(store, session, intake.HashesToLookUp(), intake);
  LookUp(store, session, intake.PathHashesToLookUp(), intake);
  std::vector<Intake::StudyInLedger> studies;
  for (const auto& study : intake.studies()) studies.push_back(FindOrAddStudy(store, session, study.uid));
  Intake::Decision decision = intake.Judge(studies);
  Write(store, session, batch.indexer(), intake, decision);
  return std::move(decision.feeds);
}

}  // namespace dicom_sender::sqlite
