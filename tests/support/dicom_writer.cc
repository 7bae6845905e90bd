#include "tests/unit/dicom/file/dicom_writer.h"

#include <zlib.h>

#include <fstream>
#include <stdexcept>

#include "tests/support/temporary_folder.h"

namespace dicom_sender {

std::string MetaElements(std::string_view transfer_syntax, std::string_view sop_class) {
  DicomWriter meta;
  meta.Element(0x0002, 0x0001, "OB", std::string_view("\0\1", 2)).Uid(0x0002, 0x0002, sop_class);
  meta.Uid(0x0002, 0x0003, "1.2.3.4.5");
  if (!transfer_syntax.empty()) meta.Uid(0x0002, 0x0010, transfer_syntax);
  return meta.bytes();
}

std::string Preamble() { return std::string(128, '\0') + "DICM"; }

std::string MetaHeader(std::string_view transfer_syntax, std::string_view sop_class) {
  const std::string elements = MetaElements(transfer_syntax, sop_class);
  DicomWriter length;
  length.Header(0x0002, 0x0000, "UL", 4).Number(static_cast<std::uint32_t>(elements.size()), 4);
  return Preamble() + length.bytes() + elements;
}

std::string Deflated(std::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("zlib");
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("deflate");
  return out;
}

tl::expected<FileHeader, HeaderError> ReadBytesAsFile(std::string_view bytes) {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush();
  return ReadFileHeader(path);
}

const char* Name(HeaderProblem problem) {
  switch (problem) {
    case HeaderProblem::kUnreadable:
      return "unreadable";
    case HeaderProblem::kEmpty:
      return "empty";
    case HeaderProblem::kNotDicom:
      return "not DICOM";
    case HeaderProblem::kDicomDir:
      return "DICOMDIR";
    case HeaderProblem::kTruncated:
      return "truncated";
    case HeaderProblem::kMalformed:
      return "malformed";
  }
  return "?";
}

std::string Verdict(const tl::expected<FileHeader, HeaderError>& result) {
  return result ? "good" : Name(result.error().problem);
}

}  // namespace dicom_sender
