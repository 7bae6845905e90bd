// The limits of proto/channel.h: what keeps them passes, what breaks one is refused with a sentence that names it.
#include "proto/validate.h"

#include <gtest/gtest.h>

#include "proto/channel.h"

namespace dicom_sender {
namespace {

wire::ClientRequest Request() {
  wire::ClientRequest request;
  request.set_protocol_version(kProtocolVersion);
  return request;
}

wire::Instance* AddInstance(wire::ClientRequest& request) {
  auto* batch = request.mutable_publish_batch();
  if (batch->studies_size() == 0) batch->add_studies();
  auto* instance = batch->mutable_studies(0)->add_instances();
  instance->set_path("a");
  return instance;
}

std::string Refusal(const wire::ClientRequest& request) {
  const auto parsed = ParseClientRequest(request.SerializeAsString());
  return parsed ? "" : parsed.error();
}

TEST(ParseClientRequest, TakesWhatKeepsTheLimits) {
  auto request = Request();
  AddInstance(request)->set_path(std::string(kPathBytesMax, 'p'));
  EXPECT_EQ(Refusal(request), "");
}

TEST(ParseClientRequest, RefusesWhatBreaksOne) {
  struct Case {
    const char* names;
    void (*breaks)(wire::ClientRequest&);
  };
  const Case cases[] = {
      {"path", [](auto& r) { AddInstance(r)->set_path(std::string(kPathBytesMax + 1, 'p')); }},
      {"without a path", [](auto& r) { AddInstance(r)->clear_path(); }},
      {"SOP Class UID", [](auto& r) { AddInstance(r)->set_sop_class_uid(std::string(65, '1')); }},
      {"SOP Instance UID", [](auto& r) { AddInstance(r)->set_sop_instance_uid(std::string(65, '1')); }},
      {"transfer syntax", [](auto& r) { AddInstance(r)->set_transfer_syntax_uid(std::string(65, '1')); }},
      {"defect", [](auto& r) { AddInstance(r)->set_defect(std::string(kReasonBytesMax + 1, 'x')); }},
      {"Study Instance UID",
       [](auto& r) { r.mutable_publish_batch()->add_studies()->set_study_instance_uid(std::string(65, '1')); }},
      {"root path",
       [](auto& r) { r.mutable_publish_batch()->add_roots()->set_path(std::string(kPathBytesMax + 1, 'r')); }},
      {"instances",
       [](auto& r) {
         for (int i = 0; i <= kBatchInstancesMax; ++i) AddInstance(r);
       }},
      {"AE title",
       [](auto& r) { r.mutable_open_session()->mutable_destination()->set_called_ae(std::string(17, 'A')); }},
      {"port", [](auto& r) { r.mutable_open_session()->mutable_destination()->set_port(65536); }},
      {"inputs",
       [](auto& r) {
         for (int i = 0; i <= 10000; ++i) r.mutable_open_session()->add_inputs("i");
       }},
      {"version", [](auto& r) { r.set_protocol_version(kProtocolVersion + 1); }},
      {"no request", [](auto& r) { r.clear_request(); }},
  };
  for (const auto& [names, breaks] : cases) {
    auto request = Request();
    breaks(request);
    EXPECT_NE(Refusal(request).find(names), std::string::npos) << names << ": '" << Refusal(request) << "'";
  }
}

TEST(ParseClientRequest, RefusesBytesThatAreNoMessageAndSuchThatAreTooMany) {
  EXPECT_FALSE(ParseClientRequest("\xff\xff\xff\xff"));
  EXPECT_FALSE(ParseClientRequest(std::string(kMessageBytesMax + 1, '\0')));
}

TEST(ParseWorkerMessage, RefusesTooManyOutcomesAndStatusesThatAreNone) {
  wire::WorkerMessage message;
  message.set_protocol_version(kProtocolVersion);
  message.mutable_report()->add_outcomes()->set_status(0xFFFF);
  EXPECT_TRUE(ParseWorkerMessage(message.SerializeAsString()));
  message.mutable_report()->mutable_outcomes(0)->set_status(0x10000);
  EXPECT_FALSE(ParseWorkerMessage(message.SerializeAsString()));
  message.mutable_report()->clear_outcomes();
  for (int i = 0; i <= kReportOutcomesMax; ++i) message.mutable_report()->add_outcomes();
  EXPECT_FALSE(ParseWorkerMessage(message.SerializeAsString()));
  message.mutable_status();
  for (int i = 0; i <= kHeldLeasesMax; ++i) message.mutable_status()->add_held();
  EXPECT_FALSE(ParseWorkerMessage(message.SerializeAsString()));
}

TEST(ParseCoordinatorMessage, RefusesPagesThatAreTooLong) {
  wire::CoordinatorMessage message;
  for (int i = 0; i < kPageInstancesMax; ++i) message.mutable_page()->add_instances()->set_path("a");
  EXPECT_TRUE(ParseCoordinatorMessage(message.SerializeAsString()));
  message.mutable_page()->add_instances()->set_path("a");
  EXPECT_FALSE(ParseCoordinatorMessage(message.SerializeAsString()));
}

TEST(LimitedReason, IsNotCutInsideACharacter) {
  EXPECT_EQ(LimitedReason("short"), "short");
  const std::string umlauts = "x" + [] {
    std::string text;
    for (std::size_t i = 0; i < kReasonBytesMax; ++i) text += "\xC3\xA4";
    return text;
  }();
  const std::string cut = LimitedReason(umlauts);
  EXPECT_EQ(cut.size(), kReasonBytesMax - 1);
  EXPECT_EQ(cut.back(), '\xA4');
}

}  // namespace
}  // namespace dicom_sender
