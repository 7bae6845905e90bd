// One connection of the test destination, from its A-ASSOCIATE-RQ to its end.
#pragma once

#include <chrono>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dicom/network/dimse.h"
#include "dicom/network/pdu.h"
#include "tests/support/test_destination/shared_state.h"

namespace dicom_sender {

// Reads complete PDUs from a socket, many with one system call if they are small.
class PduReader {
 public:
  explicit PduReader(int socket) : socket_(socket), buffer_(std::size_t{512} * 1024) {}

  struct Pdu {
    PduType type = PduType::kAbort;
    ByteView body;  // valid until the next call
  };
  // The error describes what is wrong with the bytes; empty: the connection ended.
  tl::expected<Pdu, std::string> Next();
  // A longer P-DATA-TF is an error; 0: only the codec's limit applies.
  void SetDataLimit(std::uint32_t bytes_max) { data_bytes_max_ = bytes_max; }
  bool HasBuffered() const { return begin_ < end_; }

 private:
  bool Fill(std::size_t bytes);

  int socket_;
  Bytes buffer_;
  std::size_t begin_ = 0, end_ = 0;  // received but not yet returned
  std::uint32_t data_bytes_max_ = 0;
};

class Session {
 public:
  // Does not own the socket.
  Session(int socket, SharedState& state) : socket_(socket), state_(state), reader_(socket) {}
  // Runs until the association is over. The caller then closes the socket.
  void Run();

 private:
  using Clock = std::chrono::steady_clock;
  using Over = std::optional<AssociationEnd>;  // nullopt: continue
  struct Instance {
    InstanceRecord record;
    InstanceRule rule;
    std::uint8_t context_id = 0;
    std::uint16_t message_id = 0;
    std::string part_file;  // empty: not stored
    std::ofstream part;
  };
  struct PendingAnswer {
    Clock::time_point due;
    Bytes bytes;
  };

  bool Negotiate();
  AssociateAccept Accept(const AssociateRequest& request);
  ContextAnswer AnswerContext(const ProposedContext& proposed);
  void NegotiateWindow(const UserInformation& peer, UserInformation& ours);
  void Reject(const Rejection& rejection);
  bool ReactsToWindow(WindowReaction reaction) const;

  AssociationEnd Converse();
  Over HandlePdu(const PduReader::Pdu& pdu);
  Over HandleData(ByteView body);
  Over HandleCommandFragment(const Pdv& pdv);
  Over HandleCommand(const Command& command, std::uint8_t context_id);
  Over BeginInstance(const Command& command, std::uint8_t context_id);
  Over HandleDataset(const Pdv& pdv);
  Over EndInstance();
  void SettleInstance();
  Over Problem(std::string what);

  void AddAnswer(Bytes bytes, std::chrono::milliseconds delay);
  void SendDueAnswers();
  bool WaitForPeerOrAnswer();
  void Send(ByteView bytes);
  void WaitForHangUp();
  void SendAbort();
  void Reset();
  void FinishSending();

  int socket_;
  SharedState& state_;
  PduReader reader_;
  AssociationRecord record_;
  DestinationBehaviour behaviour_;
  std::map<std::uint8_t, std::string> accepted_;  // transfer syntax per context
  Bytes command_;                                 // the fragments so far
  std::optional<Instance> instance_;              // the instance whose dataset is being received
  std::vector<PendingAnswer> pending_;
  std::uint64_t stalled_ = 0;  // operations that are never answered
};

}  // namespace dicom_sender
