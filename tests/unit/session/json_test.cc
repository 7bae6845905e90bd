#include "session/json.h"

#include <gtest/gtest.h>

#include "client.pb.h"
#include "status.pb.h"

namespace dicom_sender {
namespace {

TEST(ToJson, WritesEveryFieldByNameAndNumbersAsNumbers) {
  wire::WorkerList list;
  list.set_total(1);
  auto* worker = list.add_workers();
  worker->set_worker("w\"1");
  worker->set_capacity(4);
  worker->set_last_seen_ms(std::uint64_t{1} << 60);
  worker->add_quarantined()->set_what("destination A:1@b");
  worker->mutable_quarantined(0)->set_reason("no route");
  worker->set_state("quarantined");
  EXPECT_EQ(ToJson(list),
            R"({"workers":[{"worker":"w\"1","capacity":4,"leases":0,"draining":false,)"
            R"("last_seen_ms":1152921504606846976,"not_ready":"","quarantined":[{"what":"destination A:1@b",)"
            R"("reason":"no route"}],"state":"quarantined"}],"total":1})");
}

TEST(ToJson, WritesStatesAsWordsAndUnsetFieldsAsNull) {
  wire::SessionStatus status;
  status.set_state(wire::SESSION_SENDING);
  EXPECT_NE(ToJson(status).find(R"("state":"sending")"), std::string::npos) << ToJson(status);
  EXPECT_NE(ToJson(status).find(R"("destination":null)"), std::string::npos) << ToJson(status);
  wire::FailureList::Entry failure;
  failure.set_path("\xFF.dcm");
  EXPECT_EQ(ToJson(failure),
            "{\"path\":\"\xEF\xBF\xBD.dcm\",\"study_instance_uid\":\"\",\"sop_instance_uid\":\"\",\"status\":null,"
            "\"reason\":\"\",\"attempts\":0,\"worker\":null,\"kind\":\"failed\"}");
  wire::RequeueAck ack;
  EXPECT_EQ(ToJson(ack), R"({"instances":0})");
}

TEST(ToJson, WritesNegativeNumbers) {
  wire::SessionReport report;
  report.set_start_ms(-5);
  EXPECT_NE(ToJson(report).find(R"("start_ms":-5)"), std::string::npos);
}

TEST(ToJson, WritesFractions) {
  wire::SessionProgress progress;
  progress.set_instances_per_second(12.5);
  const std::string json = ToJson(progress);
  EXPECT_NE(json.find(R"("instances_per_second":12.5)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("bytes_per_second":null)"), std::string::npos) << json;
}

TEST(Json, ADimseStatusHasFourHexadecimalDigits) {
  wire::FailureList::Entry failure;
  failure.set_status(0xA700);
  EXPECT_NE(ToJson(failure).find(R"("status":"A700")"), std::string::npos) << ToJson(failure);
}

}  // namespace
}  // namespace dicom_sender
