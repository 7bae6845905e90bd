// Tests that need our own peer: asynchronous windows, order and timing of responses, protocol violations.
#include "tests/unit/support/test_destination/raw_peer.h"

#include <gmock/gmock.h>

#include <cerrno>

#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/support/test_destination/scripted_destination.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::uint8_t kAccepted = 0x02, kRejected = 0x03, kReleased = 0x06, kAborted = 0x07;

AssociateAccept Accepted(const RawPeer::Pdu& pdu) {
  if (pdu.type != kAccepted) throw std::runtime_error("not accepted");
  Remarks ignored;
  return DecodeAssociateAccept(pdu.body, ignored).value();
}

TEST(AsyncWindow, IsNotAnsweredByDefault) {
  Destination destination;
  RawPeer peer(destination.port());
  EXPECT_EQ(Accepted(peer.Associate(AsyncWindow{16, 1})).user.async_window, std::nullopt);
}

TEST(AsyncWindow, IsTheSmallerOfTheTwo) {
  // {proposed, ours, granted}; 0 is unlimited.
  const std::uint16_t cases[][3] = {{16, 4, 4}, {3, 8, 3}, {0, 8, 8}, {8, 0, 8}, {0, 0, 0}};
  for (const auto& [proposed, ours, granted] : cases) {
    Destination destination("async-window " + std::to_string(ours));
    RawPeer peer(destination.port());
    const auto window = Accepted(peer.Associate(AsyncWindow{proposed, 1})).user.async_window;
    EXPECT_EQ(window, (AsyncWindow{granted, 1})) << proposed << " " << ours;
    EXPECT_EQ(destination.Log().associations[0].async_window, granted);
  }
}

TEST(AsyncWindow, IsOneIfNotProposed) {
  Destination destination("async-window 16");
  RawPeer peer(destination.port());
  EXPECT_EQ(Accepted(peer.Associate()).user.async_window, std::nullopt);
  EXPECT_EQ(destination.Log().associations[0].async_window, 1);
}

TEST(AsyncWindow, AnswersInOrder) {
  Destination destination("async-window 4");
  RawPeer peer(destination.port());
  peer.Associate(AsyncWindow{4, 1});
  for (std::uint16_t id = 1; id <= 4; ++id) peer.Store(id, "1.2." + std::to_string(id));
  for (std::uint16_t id = 1; id <= 4; ++id) EXPECT_EQ(peer.ReadAnswer(), (RawPeer::Answer{id, 0}));
}

TEST(AsyncWindow, AnswersInReverseOrder) {
  Destination destination("async-window 3\nreorder-answers\nrule nth=2 status=A700");
  RawPeer peer(destination.port());
  peer.Associate(AsyncWindow{3, 1});
  for (std::uint16_t id = 1; id <= 3; ++id) peer.Store(id, "1.2." + std::to_string(id));
  EXPECT_EQ(peer.ReadAnswer(), (RawPeer::Answer{3, 0}));
  EXPECT_EQ(peer.ReadAnswer(), (RawPeer::Answer{2, 0xA700}));
  EXPECT_EQ(peer.ReadAnswer(), (RawPeer::Answer{1, 0}));
  // Fewer requests than the window: after a quiet time, the responses are also reversed.
  peer.Store(4, "1.2.4");
  peer.Store(5, "1.2.5");
  EXPECT_EQ(peer.ReadAnswer(), (RawPeer::Answer{5, 0}));
  EXPECT_EQ(peer.ReadAnswer(), (RawPeer::Answer{4, 0}));
}

TEST(AsyncWindow, MustNotBeExceeded) {
  Destination destination("async-window 2\nrule action=stall");
  RawPeer peer(destination.port());
  peer.Associate(AsyncWindow{2, 1});
  for (std::uint16_t id = 1; id <= 3; ++id) peer.Store(id, "1.2." + std::to_string(id));
  EXPECT_EQ(peer.Read().type, kAborted);
  EXPECT_EQ(destination.Ended().problem, "3 operations at once, the window is 2");
}

TEST(Answers, MayOvertakeADelayedOne) {
  Destination destination("async-window 2\nrule nth=1 delay=300\nrule nth=2 delay=20");
  RawPeer peer(destination.port());
  peer.Associate(AsyncWindow{2, 1});
  const auto start = steady_clock::now();
  peer.Store(1, "1.2.1");
  peer.Store(2, "1.2.2");
  EXPECT_EQ(peer.ReadAnswer().message_id, 2);
  EXPECT_FALSE(peer.HasAnswerNow());
  EXPECT_EQ(peer.ReadAnswer().message_id, 1);
  EXPECT_GE(steady_clock::now() - start, milliseconds(300));
}

TEST(Answers, MayBeToAnotherMessage) {
  Destination destination("rule action=wrong-message-id");
  RawPeer peer(destination.port());
  peer.Associate();
  peer.Store(1, "1.2.1");
  EXPECT_EQ(peer.ReadAnswer(), (RawPeer::Answer{0x4001, 0}));
  EXPECT_EQ(destination.Log().instances.at(0).status, std::nullopt);
}

TEST(Answers, MayBeGarbage) {
  Destination destination("rule action=garbage");
  RawPeer peer(destination.port());
  peer.Associate();
  peer.Store(1, "1.2.1");
  EXPECT_EQ(peer.Read().type, 0xEE);
}

TEST(Answers, MayNeverCome) {
  Destination destination("rule action=stall");
  RawPeer peer(destination.port());
  peer.Associate();
  peer.Store(1, "1.2.1");
  ASSERT_TRUE(destination.WaitFor([](const auto& log) { return log.instances.size() == 1; }, kLong));
  peer.Send(EncodeReleaseRequest());
  EXPECT_EQ(peer.Read().type, kReleased);  // the first PDU is not the response
  EXPECT_EQ(destination.Log().instances[0].status, std::nullopt);
  EXPECT_TRUE(destination.Log().instances[0].complete);
}

TEST(Rules, CountByInstanceAssociationAndTimes) {
  Destination destination(
      "rule instance=1.2.9 times-each=2 status=A700\n"
      "rule nth-of-association=3 times=1 status=A900\n"
      "rule nth=5 status=C000\n"
      "rule instance=1.2.8 status=B000\n");
  std::vector<std::uint16_t> statuses;
  for (int association = 0; association < 2; ++association) {
    RawPeer peer(destination.port());
    peer.Associate();
    for (const char* uid : {"1.2.9", "1.2.7", "1.2.8"}) {
      peer.Store(1, uid);
      statuses.push_back(peer.ReadAnswer().status);
    }
    peer.Release();
  }
  RawPeer peer(destination.port());
  peer.Associate();
  peer.Store(1, "1.2.9");
  statuses.push_back(peer.ReadAnswer().status);
  EXPECT_THAT(statuses, testing::ElementsAre(0xA700, 0x0000, 0xA900, 0xA700, 0xC000, 0xB000, 0x0000));
}

TEST(Behaviour, MayChangeOnAnOpenAssociation) {
  Destination destination;
  RawPeer peer(destination.port());
  peer.Associate();
  peer.Store(1, "1.2.1");
  EXPECT_EQ(peer.ReadAnswer().status, 0);
  destination.SetBehaviour(ScriptedBehaviour("rule times=1 status=A700"));
  peer.Store(2, "1.2.1");
  EXPECT_EQ(peer.ReadAnswer().status, 0xA700);
  destination.SetBehaviour(destination.Behaviour());  // resets the count of `times`
  peer.Store(3, "1.2.1");
  EXPECT_EQ(peer.ReadAnswer().status, 0xA700);
  peer.Store(4, "1.2.1");
  EXPECT_EQ(peer.ReadAnswer().status, 0);
}

TEST(Associations, AreLimited) {
  Destination destination("associations-max 1");
  {
    RawPeer first(destination.port());
    EXPECT_EQ(first.Associate().type, kAccepted);
    RawPeer second(destination.port());
    const RawPeer::Pdu refusal = second.Associate();
    ASSERT_EQ(refusal.type, kRejected);
    EXPECT_EQ(DecodeAssociateReject(refusal.body), (AssociateReject{2, 3, 2}));
    first.Release();
  }
  destination.Ended(1);
  RawPeer third(destination.port());
  EXPECT_EQ(third.Associate().type, kAccepted);
  EXPECT_EQ(destination.Log().most_open_associations, 1U);
}

TEST(Associations, RunSideBySide) {
  Destination destination;
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 20; ++i) peers.push_back(std::make_unique<RawPeer>(destination.port()));
  for (const auto& peer : peers) EXPECT_EQ(peer->Associate().type, kAccepted);
  for (const auto& peer : peers) peer->Store(1, "1.2.1");
  for (const auto& peer : peers) EXPECT_EQ(peer->ReadAnswer(), (RawPeer::Answer{1, 0}));
  EXPECT_EQ(destination.Log().open_associations, 20U);
  for (const auto& peer : peers) peer->Release();
  EXPECT_TRUE(destination.WaitFor([](const auto& log) { return log.open_associations == 0; }, kLong));
  EXPECT_EQ(destination.Log().most_open_associations, 20U);
}

TEST(Associations, ThatDisappearAreLostAndTheirInstanceIsIncomplete) {
  Destination destination;
  {
    RawPeer peer(destination.port());
    peer.Associate();
    peer.SendCommand(1, "1.2.1");
    peer.SendData("half", false);
  }
  EXPECT_EQ(destination.Ended().end, AssociationEnd::kLost);
  const DestinationLog log = destination.Log();
  ASSERT_EQ(log.instances.size(), 1U);
  EXPECT_FALSE(log.instances[0].complete);
  EXPECT_EQ(log.instances[0].bytes, 4U);
  EXPECT_EQ(log.instances[0].status, std::nullopt);
}

TEST(Associations, AbortedByThePeerAreLoggedAsSuch) {
  Destination destination;
  RawPeer peer(destination.port());
  peer.Associate();
  peer.Send(EncodeAbort({0, 0}));
  EXPECT_EQ(destination.Ended().end, AssociationEnd::kAbortedByPeer);
}

TEST(Drop, IsATcpReset) {
  Destination destination("rule action=drop-after-dataset");
  RawPeer peer(destination.port());
  peer.Associate();
  peer.Store(1, "1.2.1");
  errno = 0;
  EXPECT_EQ(peer.Read().type, 0);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST(Stop, DropsAssociationsAndRefusesUntilStart) {
  Destination destination;
  RawPeer peer(destination.port());
  peer.Associate();
  const std::uint16_t port = destination.port();
  destination.Stop();
  EXPECT_EQ(peer.Read().type, 0);
  EXPECT_EQ(destination.Log().associations[0].end, AssociationEnd::kDroppedByUs);
  EXPECT_THROW(RawPeer{port}, std::runtime_error);
  ASSERT_TRUE(destination.Start());
  EXPECT_EQ(destination.port(), port);
  RawPeer again(port);
  EXPECT_EQ(again.Associate().type, kAccepted);
  EXPECT_EQ(destination.Log().associations.size(), 2U);
}

TEST(Stop, EndsAStallWhileReceiving) {
  Destination destination("rule action=stall-receiving");
  RawPeer peer(destination.port());
  peer.Associate();
  peer.Store(1, "1.2.1");
  ASSERT_TRUE(destination.WaitFor([](const auto& log) { return log.associations[0].instances == 1; }, kLong));
  destination.Stop();
  EXPECT_EQ(destination.Log().instances.at(0).bytes, 0U);
}

TEST(Start, FailsIfThePortIsInUse) {
  Destination first;
  TestDestination second(DestinationOptions{.port = first.port()});
  const auto started = second.Start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error(), "Address already in use");
  EXPECT_EQ(first.Start().error(), "already listening");
}

TEST(Hash, CoversTheWholeDataset) {
  Destination destination("", DestinationOptions{.hash_datasets = true});
  RawPeer peer(destination.port());
  peer.Associate();
  peer.SendCommand(1, "1.2.1");
  peer.SendData("foo", false);
  peer.SendData("bar", true);
  peer.ReadAnswer();
  EXPECT_EQ(destination.Log().instances.at(0).fnv1a_hash, 0x85944171F73967E8U);  // a published test vector: "foobar"
}

// ---- protocol violations

void ExpectProblem(const std::string& script, const std::string& problem,
                   const std::function<void(RawPeer&)>& misdeed) {
  Destination destination(script);
  RawPeer peer(destination.port());
  ASSERT_EQ(peer.Associate().type, kAccepted);
  misdeed(peer);
  EXPECT_EQ(peer.Read().type, kAborted) << problem;
  const AssociationRecord record = destination.Ended();
  EXPECT_EQ(record.end, AssociationEnd::kAbortedByUs);
  EXPECT_EQ(record.problem, problem);
}

TEST(ProtocolViolations, AreAbortedAndNamed) {
  ExpectProblem("max-pdu 64", "P-DATA-TF of 206 bytes, 64 were announced",
                [](RawPeer& peer) { peer.SendData(std::string(200, 'x'), true); });
  ExpectProblem("", "presentation context 3 was not accepted", [](RawPeer& peer) { peer.SendData("x", true, 3); });
  ExpectProblem("", "a dataset without a command", [](RawPeer& peer) { peer.SendData("x", true); });
  ExpectProblem("", "a command inside a dataset", [](RawPeer& peer) {
    peer.SendCommand(1, "1.2.1");
    peer.SendCommand(2, "1.2.2");
  });
  ExpectProblem("", "unexpected PDU of type 6", [](RawPeer& peer) { peer.Send(EncodeReleaseResponse()); });
}

TEST(StoreFolder, CannotBeEscapedAndContainsOnlyCompleteDatasets) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "store");
  Destination destination("", DestinationOptions{.store_folder = (folder / "store").string()});
  {
    RawPeer peer(destination.port());
    peer.Associate();
    peer.Store(1, "../1.2", "whole");
    EXPECT_EQ(peer.ReadAnswer().status, 0);
    peer.SendCommand(2, "1.3");
    peer.SendData("half", false);
  }
  destination.Ended();
  EXPECT_EQ(ReadFile(folder / "store/.._1.2"), "whole");
  const std::filesystem::recursive_directory_iterator all(folder.path()), none;
  EXPECT_EQ(std::distance(all, none), 2);  // the folder and the one file
}

}  // namespace
}  // namespace dicom_sender
