#include "coordinator/ledger/postgresql/intake.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "coordinator/ledger/intake.h"
#include "coordinator/ledger/postgresql/copies.h"

namespace dicom_sender::postgresql {
namespace {

constexpr int kInstanceColumns = 12, kKnownColumns = 4;  // in the COPY statements below

std::vector<Intake::StudyInLedger> FindOrAddStudies(Store& store, SessionKey session, const Intake& intake) {
  std::vector<std::string> uids;
  std::unordered_map<std::string, std::size_t> places;  // by encoded UID
  for (const auto& study : intake.studies()) {
    places[EncodedText(study.uid)] = uids.size();
    uids.push_back(EncodedText(study.uid));
  }
  const auto rows = store.db().Query(
      "WITH u AS MATERIALIZED (SELECT * FROM unnest($2::text[]) WITH ORDINALITY AS u(uid, place)),"
      " known AS MATERIALIZED (SELECT s.key, s.uid, s.total, s.accession_number FROM u CROSS JOIN LATERAL"
      "   (SELECT * FROM study WHERE session = $1::bigint AND uid = u.uid OFFSET 0) s),"
      " added AS (INSERT INTO study (session, uid) SELECT $1::bigint, u.uid FROM u"
      "   WHERE u.uid NOT IN (SELECT uid FROM known) ORDER BY u.place RETURNING key, uid)"
      " SELECT uid, key, total, 0, (accession_number IS NOT NULL)::integer FROM known"
      " UNION ALL SELECT uid, key, 0, 1, 0 FROM added",
      Values().Int(session).Texts(uids));
  std::vector<Intake::StudyInLedger> studies(uids.size());
  for (int row = 0; row < rows.size(); ++row) {
    auto& study = studies[places.at(std::string(rows.Bytes(row, 0)))];
    study.key = rows.Int(row, 1);
    study.instances = static_cast<std::uint32_t>(rows.Int(row, 2));
    study.is_new = rows.Int(row, 3) != 0;
    study.has_accession_number = rows.Int(row, 4) != 0;
    store.Remember(study.key, session);
  }
  return studies;
}

void LookUp(Store& store, SessionKey session, const std::vector<std::int64_t>& hashes, Intake& intake) {
  if (hashes.empty()) return;
  const auto rows = store.db().Query(
      "SELECT k.hash, k.study, k.idx, r.path, i.path, i.sop_instance, i.state"
      " FROM unnest($2::bigint[]) AS h(hash) CROSS JOIN LATERAL (SELECT * FROM known WHERE session = $1::bigint"
      "   AND hash = h.hash OFFSET 0) k CROSS JOIN LATERAL (SELECT * FROM instance WHERE study = k.study"
      "   AND idx = k.idx OFFSET 0) i CROSS JOIN LATERAL (SELECT path FROM root WHERE id = i.root OFFSET 0) r",
      Values().Int(session).Ints(hashes));
  for (int row = 0; row < rows.size(); ++row) {
    intake.AddKnown(rows.Int(row, 0), {.study = rows.Int(row, 1),
                                       .index = static_cast<std::uint32_t>(rows.Int(row, 2)),
                                       .root = std::string(rows.Bytes(row, 3)),
                                       .path = std::string(rows.Bytes(row, 4)),
                                       .sop_instance_uid = rows.Text(row, 5),
                                       .state = static_cast<InstanceState>(rows.Int(row, 6))});
  }
}

void AppendInstance(PostgresqlCopy& rows, const Intake::NewFile& file, std::int64_t root, std::int64_t pair) {
  const wire::Instance& instance = *file.instance;
  rows.Row(kInstanceColumns);
  rows.Bigint(file.study);
  rows.Integer(file.index);
  rows.Integer(root);
  rows.Bytes(instance.path());
  rows.Integer(pair);
  rows.Bytes(EncodedText(instance.sop_instance_uid()));
  rows.Bigint(static_cast<std::int64_t>(instance.size_bytes()));
  rows.Bigint(instance.mtime_ns());
  rows.Bigint(static_cast<std::int64_t>(instance.dataset_offset()));
  rows.Smallint(static_cast<std::int64_t>(file.state));
  file.reason.empty() ? rows.Null() : rows.Bytes(EncodedText(file.reason));
  rows.Smallint(file.state == InstanceState::kFailed ? 1 : 0);
}

void SendFiles(Store& store, SessionKey session, const Intake& intake, const Intake::Decision& decision,
               std::string_view indexer) {
  if (decision.files.empty()) return;
  const auto roots = store.RootIds(session, intake.roots());
  const auto pairs = store.PairIds(intake.pairs());
  PostgresqlCopy instances, known;
  NewCopies copies;
  for (const Intake::NewFile& file : decision.files) {
    AppendInstance(instances, file, roots[file.root], pairs[file.pair]);
    known.Row(kKnownColumns);
    known.Bigint(session);
    known.Bigint(file.hash);
    known.Bigint(file.study);
    known.Integer(file.index);
    if (file.original) copies.Add(file, *file.original);
  }
  store.db().Copy(
      "instance (study, idx, root, path, pair, sop_instance, size, mtime, data_offset, state, reason, defect)",
      std::move(instances));
  store.db().Copy("known (session, hash, study, idx)", std::move(known));
  std::vector<std::int64_t> studies, pair_ids;
  for (const auto& [study, pair] : decision.study_pairs) {
    studies.push_back(study);
    pair_ids.push_back(pairs[pair]);
  }
  if (!studies.empty()) {
    store.db().Send(
        "INSERT INTO study_pair (study, pair) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO "
        "NOTHING",
        Values().Ints(studies).Ints(pair_ids));
  }
  copies.Send(store, session, indexer);
}

void SendAccessionNumbers(Store& store, const Intake::Decision& decision) {
  static const std::string sql =
      "UPDATE study t SET accession_number = d.number" + ByKey("study", "$1::bigint[], $2::text[]", "key, number");
  if (decision.accession_numbers.empty()) return;
  std::vector<std::int64_t> studies;
  std::vector<std::string> numbers;
  for (const auto& [study, number] : decision.accession_numbers) {
    studies.push_back(study);
    numbers.push_back(EncodedText(number));
  }
  store.db().Send(sql, Values().Ints(studies).Texts(numbers));
}

}  // namespace

std::vector<StudyFeed> AddStudies(Store& store, SessionKey session, const wire::PublishBatch& batch) {
  Intake intake(batch);
  LookUp(store, session, intake.HashesToLookUp(), intake);
  LookUp(store, session, intake.PathHashesToLookUp(), intake);
  Intake::Decision decision = intake.Judge(FindOrAddStudies(store, session, intake));
  SendAccessionNumbers(store, decision);
  SendFiles(store, session, intake, decision, batch.indexer());
  store.AddToCountsIn(session, decision.growth);
  store.growths().Add(session, {}, decision.new_studies);
  return std::move(decision.feeds);
}

}  // namespace dicom_sender::postgresql
