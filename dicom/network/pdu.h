// Encodes and decodes the DICOM upper layer's protocol data units (PS3.8 section 9.3). Pure: no socket, no clock.
//
// Both directions are here: what a requestor sends (pdu_encode.cc) and what it receives (pdu_decode.cc), and the same
// for an acceptor. A decoder takes the variable part of a PDU (what follows its six byte header) and trusts nothing
// in it; the error is one readable sentence. The decoder of A-ASSOCIATE-AC accepts violations of the standard
// that do not matter, and adds a remark. Everything is thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "dicom/byte_order.h"
#include "dicom/limits.h"
#include "dicom/network/remarks.h"

namespace dicom_sender {

inline constexpr std::size_t kPduHeaderBytes = 6;  // type, reserved, length (4)
inline constexpr std::size_t kPdvHeaderBytes = 6;  // length (4), presentation context id, message control header
inline constexpr std::size_t kContextsMax = 128;   // the odd numbers of one byte
inline constexpr std::size_t kSyntaxesMax = 128;   // transfer syntaxes of one context; the standard has no limit
inline constexpr std::size_t kVersionNameBytesMax = 16;  // PS3.7 D.3.3.2
// Longer UIDs are cut to this length to be shown. It is more than 64, so that a cut UID never equals a valid one.
inline constexpr std::size_t kKeptUidBytesMax = 128;
// Longer variable parts are not read. 128 contexts of 128 syntaxes of 64 bytes take 1.1 MiB.
inline constexpr std::uint32_t kAssociatePduBytesMax = 2U << 20;
inline constexpr std::uint32_t kDataPduBytesMax = 16U << 20;

enum class PduType : std::uint8_t {
  kAssociateRequest = 0x01,
  kAssociateAccept = 0x02,
  kAssociateReject = 0x03,
  kData = 0x04,
  kReleaseRequest = 0x05,
  kReleaseResponse = 0x06,
  kAbort = 0x07,
};

struct PduHeader {
  PduType type = PduType::kAbort;
  std::uint32_t length_bytes = 0;  // of the variable part
};

struct ProposedContext {
  std::uint8_t id = 0;  // odd
  std::string abstract_syntax;
  std::vector<std::string> transfer_syntaxes;  // 1..kSyntaxesMax

  friend bool operator==(const ProposedContext&, const ProposedContext&) = default;
};

// PS3.8 table 9-18. A value from outside may be none of these.
enum class ContextResult : std::uint8_t {
  kAccepted = 0,
  kUserRejected = 1,
  kNoReason = 2,
  kAbstractSyntaxNotSupported = 3,
  kTransferSyntaxesNotSupported = 4,
};

struct ContextAnswer {
  std::uint8_t id = 0;
  ContextResult result = ContextResult::kNoReason;
  std::string transfer_syntax;  // empty unless accepted
  // Not encoded. Set if we treat the context as refused although the destination accepted it.
  std::string refusal{};

  friend bool operator==(const ContextAnswer&, const ContextAnswer&) = default;
};

// PS3.7 D.3.3.3; 0 means unlimited.
struct AsyncWindow {
  std::uint16_t invoked_max = 1;
  std::uint16_t performed_max = 1;

  friend bool operator==(const AsyncWindow&, const AsyncWindow&) = default;
};

struct UserInformation {
  std::uint32_t max_pdu_bytes = 0;  // largest variable part of a P-DATA-TF that its sender receives; 0: any
  std::string implementation_class_uid;
  std::string implementation_version;       // empty: not sent
  std::optional<AsyncWindow> async_window;  // encoded only if set

  friend bool operator==(const UserInformation&, const UserInformation&) = default;
};

struct AssociateRequest {
  std::string called_ae;  // 1..16 characters; spaces around are not significant and are removed on decoding
  std::string calling_ae;
  std::vector<ProposedContext> contexts;  // 1..kContextsMax
  UserInformation user;

  friend bool operator==(const AssociateRequest&, const AssociateRequest&) = default;
};

struct AssociateAccept {
  std::string called_ae;  // as in the request
  std::string calling_ae;
  std::vector<ContextAnswer> contexts;
  UserInformation user;

  friend bool operator==(const AssociateAccept&, const AssociateAccept&) = default;
};

inline constexpr std::uint8_t kRejectResultPermanent = 1;  // PS3.8 table 9-21, field Result
inline constexpr std::uint8_t kRejectResultTransient = 2;
inline constexpr std::uint8_t kRejectSourcePresentation = 3;  // the same, field Source
inline constexpr std::uint8_t kRejectNoReason = 1;            // the same, field Reason, of sources 1 and 2

struct AssociateReject {
  std::uint8_t result = kRejectResultPermanent;
  std::uint8_t source = 1;
  std::uint8_t reason = 1;

  friend bool operator==(const AssociateReject&, const AssociateReject&) = default;
};

struct AbortPdu {
  std::uint8_t source = 0;  // PS3.8 table 9-26: 0 service user, 2 service provider
  std::uint8_t reason = 0;

  friend bool operator==(const AbortPdu&, const AbortPdu&) = default;
};

// One presentation data value. `data` points into what was decoded.
struct Pdv {
  std::uint8_t context_id = 0;
  bool is_command = false;
  bool is_last = false;
  ByteView data;
};

// Return whole PDUs, including the header. The caller has checked the limits of titles, UIDs and counts (asserted).
Bytes EncodeAssociateRequest(const AssociateRequest& request);
Bytes EncodeAssociateAccept(const AssociateAccept& accept);
Bytes EncodeAssociateReject(const AssociateReject& reject);
Bytes EncodeReleaseRequest();
Bytes EncodeReleaseResponse();
Bytes EncodeAbort(const AbortPdu& abort);
// Encodes what precedes `fragment_bytes` of data in a P-DATA-TF PDU with one PDV.
using DataHeader = std::array<std::uint8_t, kPduHeaderBytes + kPdvHeaderBytes>;
DataHeader EncodeDataHeader(std::uint8_t context_id, bool is_command, bool is_last, std::uint32_t fragment_bytes);

// `header` has at least kPduHeaderBytes. Refuses unknown types and lengths that the type cannot have.
tl::expected<PduHeader, std::string> DecodePduHeader(ByteView header);
tl::expected<AssociateRequest, std::string> DecodeAssociateRequest(ByteView body);
tl::expected<AssociateAccept, std::string> DecodeAssociateAccept(ByteView body, Remarks& ignored);
tl::expected<AssociateReject, std::string> DecodeAssociateReject(ByteView body);
tl::expected<AbortPdu, std::string> DecodeAbort(ByteView body);
// Removes the first PDV from `body`, the rest of a P-DATA-TF's variable part, which must not be empty.
tl::expected<Pdv, std::string> TakePdv(ByteView& body);

// "rejected: called AE title not recognized (permanent, by the service user)", PS3.8 table 9-21.
std::string DescribeReject(const AssociateReject& reject);
// "unexpected PDU (by the service provider)", PS3.8 table 9-26.
std::string DescribeAbort(const AbortPdu& abort);
// "abstract syntax not supported", PS3.8 table 9-18.
std::string_view DescribeContextResult(ContextResult result);

// Replaces everything but printable ASCII by '?', so that text from outside can be shown.
std::string PrintableText(std::string_view text);

}  // namespace dicom_sender
