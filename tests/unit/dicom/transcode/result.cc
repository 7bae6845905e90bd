#include "tests/unit/dicom/transcode/result.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>
#include <unistd.h>

#include <stdexcept>

#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

Bytes ReadDescriptor(int fd, std::uint64_t size_bytes) {
  Bytes bytes(size_bytes + 1);  // one more byte, to detect trailing data
  const ssize_t count = read(fd, bytes.data(), bytes.size());
  if (count != static_cast<ssize_t>(size_bytes)) throw std::runtime_error("size_bytes is not the size of the file");
  bytes.resize(size_bytes);
  return bytes;
}

}  // namespace

Bytes NativePixels(DcmItem& item) {
  DcmElement* element = nullptr;
  Uint8* raw = nullptr;
  if (item.findAndGetElement(DCM_PixelData, element).bad() || element->getUint8Array(raw).bad() || raw == nullptr) {
    return {};
  }
  return Bytes(raw, raw + element->getLength());
}

std::string TextOf(DcmItem& item, std::uint16_t group, std::uint16_t element) {
  OFString value;
  (void)item.findAndGetOFStringArray(DcmTagKey(group, element), value);
  return value.c_str();
}

Bytes Result::pixels() const {
  Bytes all = NativePixels(*dataset);
  Uint16 rows = 0, columns = 0, samples = 0, bits = 0;
  Sint32 frames = 0;
  (void)dataset->findAndGetUint16(DCM_Rows, rows);
  (void)dataset->findAndGetUint16(DCM_Columns, columns);
  (void)dataset->findAndGetUint16(DCM_SamplesPerPixel, samples);
  (void)dataset->findAndGetUint16(DCM_BitsAllocated, bits);
  if (dataset->findAndGetSint32(DCM_NumberOfFrames, frames).bad()) frames = 1;
  const std::size_t wanted = std::size_t{rows} * columns * samples * (bits / 8u) * static_cast<std::size_t>(frames);
  if (all.size() == wanted + wanted % 2) all.resize(wanted);
  return all;
}

std::string Result::text(std::uint16_t group, std::uint16_t element) const {
  return TextOf(*dataset, group, element);
}

tl::expected<Result, std::string> TranscodeAndRead(const std::filesystem::path& path, std::string_view target,
                                                   const TranscodeOptions& options) {
  auto transcoded = Transcode(path.string(), target, options);
  if (!transcoded) return tl::unexpected(transcoded.error());
  Result result{.bytes = ReadDescriptor(transcoded->fd.get(), transcoded->size_bytes),
                .dataset = std::make_shared<DcmDataset>()};
  const std::string name = "/proc/self/fd/" + std::to_string(transcoded->fd.get());
  const E_TransferSyntax syntax = DcmXfer(std::string(target).c_str()).getXfer();
  const OFCondition loaded = result.dataset->loadFile(name.c_str(), syntax);
  if (loaded.good()) (void)result.dataset->loadAllDataIntoMemory();
  if (loaded.bad()) throw std::runtime_error(std::string("what came out cannot be read: ") + loaded.text());
  return result;
}

tl::expected<Result, std::string> TranscodeBytes(const Bytes& file, std::string_view target,
                                                 const TranscodeOptions& options) {
  const TemporaryFolder folder;
  WriteBytes(folder / "in.dcm", file);
  return TranscodeAndRead(folder / "in.dcm", target, options);
}

}  // namespace dicom_sender
