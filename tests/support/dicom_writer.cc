#include "tests/support/dicom_writer.h"

#include <zlib.h>

#include <stdexcept>

namespace dicom_sender {

std::string MetaElements(std::string_view transfer_syntax, std::string_view sop_class,
                         std::string_view sop_instance) {
  DicomWriter meta;
  meta.Element(0x0002, 0x0001, "OB", std::string_view("\0\1", 2)).Uid(0x0002, 0x0002, sop_class);
  meta.Uid(0x0002, 0x0003, sop_instance);
  if (!transfer_syntax.empty()) meta.Uid(0x0002, 0x0010, transfer_syntax);
  return meta.Uid(0x0002, 0x0012, "1.2.826.0.1.3680043.10.1400").bytes();
}

std::string Preamble() { return std::string(128, '\0') + "DICM"; }

std::string MetaHeader(std::string_view transfer_syntax, std::string_view sop_class, std::string_view sop_instance) {
  const std::string elements = MetaElements(transfer_syntax, sop_class, sop_instance);
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

}  // namespace dicom_sender
