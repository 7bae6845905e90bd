// The limits in proto/limits.h: messages within them are accepted, and others are refused with a sentence that names
// the limit.
#include "proto/validate.h"

#include <gtest/gtest.h>

#include "proto/limits.h"

namespace dicom_sender {
namespace {

wire::Instance* AddInstance(wire::ClientRequest& request) {
  auto* batch = request.mutable_publish_batch();
  if (batch->studies_size() == 0) batch->add_studies();
  auto* instance = batch->mutable_studies(0)->add_instances();
  instance->set_path("a");
  return instance;
}

wire::Destination* SetDestination(wire::ClientRequest& request) {
  request.mutable_open_session()->set_session("S");
  return request.mutable_open_session()->mutable_destination();
}

std::string Refusal(const wire::ClientRequest& request) {
  const auto parsed = ParseToCoordinator(Envelope(request).SerializeAsString());
  return parsed ? "" : parsed.error().reason;
}

bool IsTaken(const wire::WorkerMessage& message) {
  return ParseToCoordinator(Envelope(message).SerializeAsString()).has_value();
}

TEST(ParseToCoordinator, AcceptsMessagesWithinTheLimits) {
  wire::ClientRequest request;
  AddInstance(request)->set_path(std::string(kPathBytesMax, 'p'));
  auto* large = AddInstance(request);
  large->set_size_bytes(kTotalBytesMax);
  large->set_dataset_offset(kTotalBytesMax);
  EXPECT_EQ(Refusal(request), "");
  auto* destination = SetDestination(request);
  destination->set_called_ae("OLD ARCHIVE~!");
  destination->set_host("fe80::1%eth0");
  EXPECT_EQ(Refusal(request), "");
}

TEST(ParseToCoordinator, RefusesMessagesBeyondALimit) {
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
      {"accession number",
       [](auto& r) { r.mutable_publish_batch()->add_studies()->set_accession_number(std::string(65, '1')); }},
      {"root path",
       [](auto& r) { r.mutable_publish_batch()->add_roots()->set_path(std::string(kPathBytesMax + 1, 'r')); }},
      {"instances",
       [](auto& r) {
         for (int i = 0; i <= kBatchInstancesMax; ++i) AddInstance(r);
       }},
      {"AE title",
       [](auto& r) {
         r.mutable_open_session()->set_session("S"),
             r.mutable_open_session()->mutable_destination()->set_called_ae(std::string(17, 'A'));
       }},
      {"AE title", [](auto& r) { SetDestination(r)->set_called_ae("A\nB"); }},
      {"AE title", [](auto& r) { SetDestination(r)->set_called_ae("A\\B"); }},
      {"AE title", [](auto& r) { SetDestination(r)->set_calling_ae("A\x1b[2J"); }},
      {"AE title", [](auto& r) { SetDestination(r)->set_calling_ae("A\x7f"); }},
      {"AE title", [](auto& r) { SetDestination(r)->set_calling_ae("\xC3\x84"); }},
      {"host", [](auto& r) { SetDestination(r)->set_host("a\nb"); }},
      {"host", [](auto& r) { SetDestination(r)->set_host("a b"); }},
      {"after the end",
       [](auto& r) {
         AddInstance(r)->set_size_bytes(100);
         AddInstance(r)->set_dataset_offset(1);
       }},
      {"total size", [](auto& r) { AddInstance(r)->set_size_bytes(kTotalBytesMax + 1); }},
      {"total size",
       [](auto& r) {
         for (int i = 0; i < 2; ++i) AddInstance(r)->set_size_bytes(kTotalBytesMax / 2 + 1);
       }},
      {"total size",
       [](auto& r) {
         for (int i = 0; i < 2; ++i) AddInstance(r)->set_size_bytes(std::uint64_t{1} << 63);
       }},
      {"port",
       [](auto& r) {
         r.mutable_open_session()->set_session("S"), r.mutable_open_session()->mutable_destination()->set_port(65536);
       }},
      {"inputs",
       [](auto& r) {
         r.mutable_open_session()->set_session("S");
         for (int i = 0; i <= 10000; ++i) r.mutable_open_session()->add_inputs("i");
       }},
      {"indexer's name",
       [](auto& r) { r.mutable_begin_scan()->set_indexer(std::string(kIndexerNameBytesMax + 1, 'i')); }},
      {"indexer's name",
       [](auto& r) { r.mutable_scan_complete()->set_indexer(std::string(kIndexerNameBytesMax + 1, 'i')); }},
      {"reasons of ignored files",
       [](auto& r) {
         for (int i = 0; i <= 100; ++i) r.mutable_scan_complete()->add_ignored();
       }},
      {"reason of ignored files",
       [](auto& r) { r.mutable_scan_complete()->add_ignored()->set_reason(std::string(kReasonBytesMax + 1, 'x')); }},
      {"number of ignored files",
       [](auto& r) { r.mutable_scan_complete()->add_ignored()->set_files(UINT64_MAX / 2); }},
      {"not a UUID", [](auto& r) { r.mutable_open_session()->set_session("../x"); }},
      {"not a UUID", [](auto& r) { r.mutable_open_session()->set_session(std::string(65, 'a')); }},
      {"PDU",
       [](auto& r) {
         r.mutable_open_session()->set_session("S");
         r.mutable_open_session()->mutable_send_options()->set_max_pdu_bytes(100);
       }},
      {"window",
       [](auto& r) {
         r.mutable_open_session()->set_session("S");
         r.mutable_open_session()->mutable_send_options()->set_async_window(129);
       }},
      {"DIMSE status", [](auto& r) { r.mutable_requeue_instances()->set_status(0x10000); }},
      {"Study Instance UID",
       [](auto& r) { r.mutable_requeue_instances()->set_study_instance_uid(std::string(65, '1')); }},
      {"reason", [](auto& r) { r.mutable_requeue_instances()->set_reason(std::string(513, 'r')); }},
      {"worker's name", [](auto& r) { r.mutable_requeue_instances()->set_worker(std::string(256, 'w')); }},
      {"unknown request", [](auto& r) { r.clear_request(); }},
  };
  for (const auto& [names, breaks] : cases) {
    wire::ClientRequest request;
    breaks(request);
    EXPECT_NE(Refusal(request).find(names), std::string::npos) << names << ": '" << Refusal(request) << "'";
  }
}

TEST(ParseToCoordinator, RefusesMalformedAndOversizedMessages) {
  EXPECT_FALSE(ParseToCoordinator("\xff\xff\xff\xff"));
  EXPECT_FALSE(ParseToCoordinator(std::string(kMessageBytesMax + 1, '\0')));
  EXPECT_FALSE(ParseFromCoordinator("\xff\xff\xff\xff"));
}

TEST(ParseToCoordinator, RefusesAnotherVersion) {
  wire::ClientRequest request;
  request.mutable_get_session();
  auto envelope = Envelope(request);
  envelope.set_protocol_version(kProtocolVersion + 1);
  const auto refused = ParseToCoordinator(envelope.SerializeAsString());
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().other_version);
  EXPECT_NE(refused.error().reason.find("version 3 instead of 2"), std::string::npos) << refused.error().reason;
  const auto empty = ParseToCoordinator("");
  ASSERT_FALSE(empty);
  EXPECT_TRUE(empty.error().other_version) << "no version at all";
}

TEST(ParseFromCoordinator, RefusesAnotherVersion) {
  auto envelope = Envelope(wire::Refusal());
  ASSERT_TRUE(ParseFromCoordinator(envelope.SerializeAsString()));
  envelope.set_protocol_version(kProtocolVersion + 1);
  const auto refused = ParseFromCoordinator(envelope.SerializeAsString());
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().other_version);
}

TEST(ParseToCoordinator, RefusesTooManyOutcomesAndInvalidStatuses) {
  wire::WorkerMessage message;
  message.mutable_report()->add_outcomes()->set_status(0xFFFF);
  EXPECT_TRUE(IsTaken(message));
  message.mutable_report()->mutable_outcomes(0)->set_status(0x10000);
  EXPECT_FALSE(IsTaken(message));
  message.mutable_report()->clear_outcomes();
  for (int i = 0; i <= kReportOutcomesMax; ++i) message.mutable_report()->add_outcomes();
  EXPECT_FALSE(IsTaken(message));
  message.mutable_status()->set_worker_id("w");
  EXPECT_TRUE(IsTaken(message));
  message.mutable_status()->set_worker_id("");
  EXPECT_FALSE(IsTaken(message));
  message.mutable_status()->set_worker_id(std::string(256, 'w'));
  EXPECT_FALSE(IsTaken(message));
  message.mutable_status()->set_worker_id("w");
  message.mutable_status()->set_capacity(std::uint32_t{kHeldLeasesMax} + 1);
  EXPECT_FALSE(IsTaken(message));
  message.mutable_status()->set_capacity(kHeldLeasesMax);
  EXPECT_TRUE(IsTaken(message));
  for (int i = 0; i <= kHeldLeasesMax; ++i) message.mutable_status()->add_held();
  EXPECT_FALSE(IsTaken(message));
  message.mutable_report()->mutable_give_back()->set_detail(std::string(kReasonBytesMax, 'x'));
  EXPECT_TRUE(IsTaken(message));
  message.mutable_report()->mutable_give_back()->set_detail(std::string(kReasonBytesMax + 1, 'x'));
  EXPECT_FALSE(IsTaken(message));
}

TEST(ParseFromCoordinator, RefusesALeaderWithALongName) {
  wire::NotLeading not_leading;
  EXPECT_TRUE(ParseFromCoordinator(Envelope(not_leading).SerializeAsString())) << "there is no leader";
  not_leading.set_leader(std::string(kReasonBytesMax, 'x'));
  const auto taken = ParseFromCoordinator(Envelope(not_leading).SerializeAsString());
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->not_leading().leader().size(), kReasonBytesMax);
  not_leading.mutable_leader()->push_back('x');
  const auto refused = ParseFromCoordinator(Envelope(not_leading).SerializeAsString());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().reason.find("leader"), std::string::npos) << refused.error().reason;
}

TEST(ParseFromCoordinator, RefusesPagesThatAreTooLong) {
  wire::CoordinatorMessage message;
  for (int i = 0; i < kPageInstancesMax; ++i) message.mutable_page()->add_instances()->set_path("a");
  EXPECT_TRUE(ParseFromCoordinator(Envelope(message).SerializeAsString()));
  message.mutable_page()->add_instances()->set_path("a");
  EXPECT_FALSE(ParseFromCoordinator(Envelope(message).SerializeAsString()));
}

TEST(LimitedReason, IsNotTruncatedInsideACharacter) {
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
