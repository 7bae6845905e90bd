// A minimal Storage SCU for what DCMTK's clients cannot do: asynchronous windows and protocol violations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dicom/network/dimse.h"
#include "dicom/network/pdu.h"

namespace dicom_sender {

inline const std::string kSecondaryCapture = "1.2.840.10008.5.1.4.1.1.7";
inline const std::string kExplicitLittleEndian = "1.2.840.10008.1.2.1";

class RawPeer {
 public:
  struct Pdu {
    std::uint8_t type = 0;  // 0: the connection ended
    Bytes body;
  };
  struct Answer {
    std::uint16_t message_id = 0, status = 0;
    friend bool operator==(const Answer&, const Answer&) = default;
  };

  explicit RawPeer(std::uint16_t port);
  ~RawPeer();
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  // Requests an association with one context (id 1) for Secondary Capture, and reads the answer.
  Pdu Associate(std::optional<AsyncWindow> window = std::nullopt);
  void Store(std::uint16_t message_id, const std::string& sop_instance_uid, const std::string& dataset = "dataset!");
  void SendCommand(std::uint16_t message_id, const std::string& sop_instance_uid);
  void SendData(const std::string& data, bool is_last, std::uint8_t context_id = 1);
  void Send(const Bytes& bytes);
  Pdu Read();           // waits at most 20 s
  Answer ReadAnswer();  // {0, 0} if the PDU is not a response
  bool HasAnswerNow() const;
  void Release();  // reads the answer as well

 private:
  bool ReadExactly(std::size_t bytes, Bytes& out);
  int socket_ = -1;
};

}  // namespace dicom_sender
