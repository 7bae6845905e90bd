#include "dicom/transfer_syntax.h"

#include <algorithm>
#include <iterator>

namespace dicom_sender {
namespace {

constexpr std::string_view kImageCompressions = "1.2.840.10008.1.2.4.";
constexpr TransferSyntax kNewCompression{.uid = {},
                                         .encoding = kExplicitLittleEncoding,
                                         .decoder = Decoder::kNone,
                                         .flags = TransferSyntax::kEncapsulated};

}  // namespace

const TransferSyntax* FindTransferSyntax(std::string_view uid) {
  const auto* found = std::ranges::find(transfer_syntax_table::kAll, uid, &TransferSyntax::uid);
  if (found != std::end(transfer_syntax_table::kAll)) return found;
  return uid.starts_with(kImageCompressions) ? &kNewCompression : nullptr;
}

bool IsUncompressedSyntax(std::string_view uid) {
  const TransferSyntax* syntax = FindTransferSyntax(uid);
  return syntax != nullptr && !syntax->encapsulated() && !syntax->referenced() && !syntax->deflated();
}

bool IsDeflatedSyntax(std::string_view uid) {
  const TransferSyntax* syntax = FindTransferSyntax(uid);
  return syntax != nullptr && syntax->deflated();
}

bool CanDecode(std::string_view uid) {
  const TransferSyntax* syntax = FindTransferSyntax(uid);
  return syntax != nullptr && syntax->decodable();
}

std::string_view UncompressedSyntax(Encoding encoding) {
  if (encoding.implicit_vr) return kImplicitVrLittleEndian;
  return encoding.big_endian ? kExplicitVrBigEndian : kExplicitVrLittleEndian;
}

}  // namespace dicom_sender
