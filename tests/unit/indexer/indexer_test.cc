// Runs the indexer against a coordinator that only records requests.
#include "indexer/indexer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <thread>

#include "proto/validate.h"
#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr const char* kEndpoint = "inproc://coordinator";

class NotingCoordinator {
 public:
  // `refuse_with`: the answer to every request; empty: accepts everything. `last_scan`: the last scan of this
  // indexer. `copies`: the copies to list, once.
  NotingCoordinator(zmq::context_t& context, std::string refuse_with, std::uint64_t last_scan,
                    wire::CopyList copies = {})
      : refuse_with_(std::move(refuse_with)),
        last_scan_(last_scan),
        copies_(std::move(copies)),
        channel_(context, kEndpoint) {
    thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
  }
  std::vector<wire::BeginScan> scans;
  std::vector<wire::PublishBatch> batches;
  std::vector<wire::ScanComplete> completions;
  std::vector<wire::ListCopies> lists;
  std::vector<wire::RecordComparisons> comparisons;
  void Join() {
    thread_.request_stop();
    thread_.join();
  }

 private:
  void Run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      zmq::pollitem_t item{channel_.socket().handle(), 0, ZMQ_POLLIN, 0};
      zmq::poll(&item, 1, std::chrono::milliseconds(20));
      while (const auto message = channel_.Receive()) Answer(*message);
    }
  }
  void Answer(const PeerMessage& message) {
    const auto envelope = ParseToCoordinator(message.bytes);
    ASSERT_TRUE(envelope) << envelope.error().reason;
    const wire::ClientRequest* request = &envelope->client();
    wire::ClientReply reply;
    reply.set_request_id(request->request_id());
    if (!refuse_with_.empty()) {
      reply.mutable_failure()->set_reason(refuse_with_);
    } else if (request->has_begin_scan()) {
      scans.push_back(request->begin_scan());
      reply.mutable_scan_begun()->set_scan(std::max(request->begin_scan().scan(), last_scan_));
    } else if (request->has_list_copies()) {
      lists.push_back(request->list_copies());
      *reply.mutable_copies() = lists.size() == 1 ? copies_ : wire::CopyList();
    } else if (request->has_record_comparisons()) {
      comparisons.push_back(request->record_comparisons());
      reply.mutable_publish_ack();
    } else if (request->has_publish_batch()) {
      batches.push_back(request->publish_batch());
      reply.mutable_publish_ack();
    } else {
      completions.push_back(request->scan_complete());
      reply.mutable_session();
    }
    channel_.Send(message.peer, Envelope(reply));
  }

  const std::string refuse_with_;
  const std::uint64_t last_scan_;
  const wire::CopyList copies_;
  RouterChannel channel_;
  std::jthread thread_;
};

class IndexerTest : public testing::Test {
 protected:
  tl::expected<void, std::string> Run(bool publish_folders = false, const std::string& refuse_with = "") {
    NotingCoordinator coordinator(context_, refuse_with, last_scan_, copies_);
    CoordinatorClient client(context_, {kEndpoint});
    const IndexerOptions options{.session = "S",
                                 .name = "N",
                                 .inputs = {folder_.path()},
                                 .recursive = true,
                                 .threads = 2,
                                 .publish_folders = publish_folders};
    auto result = RunIndexer(options, client, metrics_, progress_, stop_.get_token());
    coordinator.Join();
    scans_ = std::move(coordinator.scans);
    batches_ = std::move(coordinator.batches);
    completions_ = std::move(coordinator.completions);
    comparisons_ = std::move(coordinator.comparisons);
    lists_ = std::move(coordinator.lists);
    return result;
  }

  TemporaryFolder folder_;
  zmq::context_t context_{0};
  std::uint64_t last_scan_ = 0;
  std::vector<wire::BeginScan> scans_;
  std::vector<wire::PublishBatch> batches_;
  std::vector<wire::ScanComplete> completions_;
  prometheus::Registry registry_;
  wire::CopyList copies_;
  std::vector<wire::ListCopies> lists_;
  std::vector<wire::RecordComparisons> comparisons_;
  IndexerMetrics metrics_{registry_};
  IndexerProgress progress_;
  std::stop_source stop_;
};

TEST_F(IndexerTest, PublishesInstancesByStudy) {
  WriteExampleStudies(folder_.path(), 2, 3);
  ASSERT_TRUE(Run());
  ASSERT_EQ(batches_.size(), 1U);
  const auto& batch = batches_[0];
  ASSERT_EQ(batch.studies_size(), 2);
  EXPECT_EQ(batch.studies(0).instances_size(), 3);
  const auto& instance = batch.studies(0).instances(0);
  EXPECT_EQ(instance.path(), "study_1/image_1.dcm");
  EXPECT_EQ(instance.defect(), "");
  EXPECT_EQ(instance.transfer_syntax_uid(), "1.2.840.10008.1.2.1");
  EXPECT_EQ(instance.size_bytes(), std::filesystem::file_size(folder_ / "study_1/image_1.dcm"));
  ASSERT_EQ(completions_.size(), 1U);
  EXPECT_EQ(progress_.found, 6U);
}

TEST_F(IndexerTest, ComparesTheCopiesThatTheCoordinatorNames) {
  WriteFile(folder_ / "a", ExampleFile({}));
  WriteFile(folder_ / "b", ExampleFile({}));
  ExampleInstance other;
  other.pixel_bytes = 128;
  WriteFile(folder_ / "c", ExampleFile(other));
  WriteFile(folder_ / "d", ExampleFile({}));
  for (const std::uint32_t index : {1U, 2U, 3U}) {
    auto* copy = copies_.add_copies();
    copy->set_study(7);
    copy->set_index(index);
    copy->set_path(folder_ / std::string(1, static_cast<char>('a' + index)));
    copy->set_original_path(folder_ / (index == 3 ? "latin\xE9" : "a"));
  }
  ASSERT_TRUE(Run());
  ASSERT_EQ(comparisons_.size(), 1U);
  ASSERT_EQ(comparisons_[0].comparisons_size(), 3);
  EXPECT_EQ(comparisons_[0].comparisons(0).study(), 7);
  EXPECT_EQ(comparisons_[0].comparisons(0).index(), 1U);
  EXPECT_EQ(comparisons_[0].comparisons(0).difference(), "");
  EXPECT_EQ(comparisons_[0].comparisons(1).difference(), "(0028,0011) differs");
  EXPECT_THAT(comparisons_[0].comparisons(2).difference(), HasSubstr("not compared"));
  EXPECT_THAT(comparisons_[0].comparisons(2).difference(), HasSubstr("\xEF\xBF\xBD")) << "the path is not UTF-8";
  ASSERT_EQ(lists_.size(), 2U) << "until there are no more";
  EXPECT_EQ(lists_[1].indexer(), "N");
  EXPECT_EQ(lists_[1].cursor().index(), 3U);
  EXPECT_EQ(completions_.size(), 1U);
}

TEST_F(IndexerTest, NamesItsScan) {
  WriteExampleStudies(folder_.path(), 1, 1);
  ASSERT_TRUE(Run());
  ASSERT_EQ(scans_.size(), 1U);
  EXPECT_EQ(scans_[0].indexer(), "N");
  ASSERT_EQ(completions_.size(), 1U);
  EXPECT_EQ(completions_[0].indexer(), "N");
  EXPECT_EQ(completions_[0].scan(), scans_[0].scan());
}

TEST_F(IndexerTest, ItsScanNumberGrowsEvenIfTheClockWasSetBack) {
  WriteExampleStudies(folder_.path(), 1, 1);
  last_scan_ = std::uint64_t{1} << 62;
  ASSERT_TRUE(Run());
  ASSERT_EQ(scans_.size(), 2U);
  EXPECT_EQ(completions_.at(0).scan(), last_scan_ + 1);
}

TEST_F(IndexerTest, PublishesFolderByFolderOnRequest) {
  WriteExampleStudies(folder_.path(), 3, 2);
  ASSERT_TRUE(Run(true));
  EXPECT_EQ(batches_.size(), 3U);
}

TEST_F(IndexerTest, CountsIgnoredFilesAndReportsDefects) {
  ExampleInstance nameless;
  nameless.sop_instance_uid = "";
  WriteFile(folder_ / "nameless", ExampleFile(nameless));
  const std::string whole = ExampleFile({});
  WriteFile(folder_ / "truncated", whole.substr(0, whole.size() - 4));
  WriteFile(folder_ / "empty", "");
  WriteFile(folder_ / "text", std::string(500, 'x'));
  std::filesystem::create_symlink(folder_ / "nowhere", folder_ / "vanished");
  ASSERT_TRUE(Run());
  ASSERT_EQ(batches_.size(), 1U);
  std::map<std::string, wire::Instance> by_path;
  for (const auto& study : batches_[0].studies()) {
    for (const auto& instance : study.instances()) by_path[instance.path()] = instance;
  }
  ASSERT_EQ(by_path.size(), 2U);
  EXPECT_EQ(by_path["nameless"].defect(), "no SOP Instance UID");
  EXPECT_NE(by_path["truncated"].defect(), "");
  EXPECT_EQ(by_path["truncated"].sop_instance_uid(), ExampleInstance{}.sop_instance_uid) << "as far as it was read";
  std::map<std::string, std::uint64_t> ignored;
  for (const auto& entry : completions_.at(0).ignored()) ignored[entry.reason()] = entry.files();
  EXPECT_THAT(ignored, ElementsAre(Pair("empty", 1), Pair("not_dicom", 1), Pair("unreadable", 1)));
  ASSERT_EQ(batches_[0].unread_size(), 1);
  EXPECT_EQ(batches_[0].unread(0).path(), folder_ / "vanished");
  EXPECT_FALSE(batches_[0].unread(0).folder());
  EXPECT_THAT(batches_[0].unread(0).reason(), HasSubstr("No such file"));
  EXPECT_EQ(metrics_.indexed_files_total["broken"].Value(), 2);
  EXPECT_EQ(progress_.files, 5U);
}

TEST_F(IndexerTest, ARefusalEndsItWithTheCoordinatorsMessage) {
  WriteExampleStudies(folder_.path(), 1, 1);
  const auto result = Run(false, "session S has ended");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), "session S has ended");
  EXPECT_TRUE(completions_.empty());
}

TEST_F(IndexerTest, AStopLeavesTheScanIncomplete) {
  WriteExampleStudies(folder_.path(), 1, 1);
  stop_.request_stop();
  const auto result = Run();
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error(), HasSubstr("stopped"));
  EXPECT_TRUE(completions_.empty());
}

class SilentCoordinatorTest : public IndexerTest {
 protected:
  // Starts a scan and waits until it waits for the missing coordinator.
  void StartScan() {
    WriteExampleStudies(folder_.path(), 1, 1);
    options_ = {.session = "S",
                .name = "N",
                .inputs = {folder_.path()},
                .recursive = true,
                .say_waits_after = std::chrono::seconds(1)};
    scan_ = std::jthread([this] {
      CoordinatorClient client(context_, {kEndpoint});
      result_ = RunIndexer(options_, client, metrics_, progress_, stop_.get_token());
    });
    while (!progress_.waits) std::this_thread::yield();
  }

  IndexerOptions options_;
  tl::expected<void, std::string> result_ = tl::unexpected(std::string("it goes on"));
  std::jthread scan_;
};

TEST_F(SilentCoordinatorTest, DoesNotEndTheIndexer) {
  StartScan();
  NotingCoordinator coordinator(context_, "", 0);
  scan_.join();
  coordinator.Join();
  EXPECT_TRUE(result_) << result_.error();
  EXPECT_EQ(coordinator.completions.size(), 1U);
  EXPECT_FALSE(progress_.waits);
}

TEST_F(SilentCoordinatorTest, AStopEndsTheWait) {
  StartScan();
  stop_.request_stop();
  scan_.join();
  ASSERT_FALSE(result_);
  EXPECT_THAT(result_.error(), HasSubstr("stopped"));
}

}  // namespace
}  // namespace dicom_sender
