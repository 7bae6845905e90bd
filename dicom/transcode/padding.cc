#include "dicom/transcode/padding.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcdict.h>
#include <dcmtk/dcmdata/dctag.h>
#include <dcmtk/dcmdata/dcvr.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "common/read_at.h"
#include "dicom/file/even_lengths.h"
#include "dicom/transcode/output_file.h"
#include "dicom/transcode/reason.h"

namespace dicom_sender {
namespace {

using Status = tl::expected<void, std::string>;  // the error is the reason

constexpr std::size_t kBlockBytes = 256 << 10;

std::string_view VrOf(std::uint16_t group, std::uint16_t element) {
  const DcmEVR vr = DcmTag(group, element).getEVR();
  return vr == EVR_UNKNOWN ? std::string_view() : DcmVR(vr).getValidVRName();
}

Status CopyRange(int fd, std::uint64_t begin, std::uint64_t end, OutputFile& output) {
  std::vector<std::uint8_t> block(std::min<std::uint64_t>(kBlockBytes, end - begin));
  while (begin < end) {
    const auto wanted = std::span(block).first(std::min<std::uint64_t>(block.size(), end - begin));
    const ssize_t count = ReadAt(fd, wanted, begin);
    if (count < 0) return Reason(fmt::format("reading failed: {}", std::strerror(errno)));
    if (count < static_cast<ssize_t>(wanted.size())) return Reason("the file became shorter while it was read");
    if (!output.Append(wanted)) return Reason(output.error());
    begin += wanted.size();
  }
  return {};
}

Status CopyEdited(int fd, std::uint64_t begin, std::uint64_t end, const std::vector<Edit>& edits,
                  OutputFile& output) {
  for (const Edit& edit : edits) {
    if (Status done = CopyRange(fd, begin, edit.offset, output); !done) return done;
    if (!output.Append(edit.bytes())) return Reason(output.error());
    begin = edit.offset + edit.replaced;
  }
  return CopyRange(fd, begin, end, output);
}

}  // namespace

tl::expected<TranscodedDataset, std::string> PadToEvenLengths(int fd, std::uint64_t dataset_offset,
                                                              std::uint64_t dataset_bytes,
                                                              std::string_view transfer_syntax_uid,
                                                              const TranscodeOptions& options) {
  // Without the dictionary, the elements of a dataset in implicit VR would have no VR.
  if (!dcmDataDict.isDictionaryLoaded()) return Reason("DCMTK's data dictionary (dicom.dic) is not installed");
  const std::uint64_t end = dataset_offset + dataset_bytes;
  const auto edits = PlanEvenLengths(fd, dataset_offset, end, transfer_syntax_uid, VrOf);
  if (!edits) return Reason(edits.error());
  auto output = OutputFile::Create(options.temporary_directory, options.output_bytes_max);
  if (!output) return Reason(output.error());
  if (Status done = CopyEdited(fd, dataset_offset, end, *edits, *output); !done) return Reason(done.error());
  const std::uint64_t size_bytes = output->size_bytes();
  auto padded = output->Finish();
  if (!padded) return Reason(padded.error());
  return TranscodedDataset{.fd = std::move(*padded), .size_bytes = size_bytes};
}

}  // namespace dicom_sender
