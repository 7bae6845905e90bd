#include "dicom/transcode/fragments.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dctk.h>
#include <fmt/format.h>

#include <array>

#include "dicom/byte_order.h"
#include "dicom/transcode/reason.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kItemHeaderBytes = 8;

bool StartsFrame(DcmPixelItem& fragment, FrameStart start) {
  std::array<Uint8, 4> head{};
  if (fragment.getLength() < head.size() || fragment.getPartialValue(head.data(), 0, head.size()).bad()) return false;
  // SOI and the first byte of the next marker; SOC and SIZ, or the length of a JP2 file's signature box.
  if (start == FrameStart::kJpeg) return head[0] == 0xFF && head[1] == 0xD8 && head[2] == 0xFF;
  return head == std::array<Uint8, 4>{0xFF, 0x4F, 0xFF, 0x51} || head == std::array<Uint8, 4>{0, 0, 0, 12};
}

// Finds the first fragments of all frames by their first bytes; empty if the very first fragment does not start a
// frame.
std::vector<std::size_t> FirstByStart(const std::vector<DcmPixelItem*>& fragments, FrameStart start) {
  std::vector<std::size_t> first;
  if (start == FrameStart::kUnknown) return first;
  for (std::size_t i = 0; i < fragments.size(); ++i) {
    if (StartsFrame(*fragments[i], start)) first.push_back(i);
    if (first.empty()) break;
  }
  return first;
}

// Finds them by the Basic Offset Table, which has the offsets of the frames' first items from the first item after
// the table (PS3.5 A.4). Empty if the table is empty or wrong.
std::vector<std::size_t> FirstByTable(DcmPixelItem& table, const std::vector<DcmPixelItem*>& fragments,
                                      std::uint32_t frames) {
  std::vector<std::size_t> first;
  if (table.getLength() != std::uint64_t{frames} * 4) return first;
  std::vector<Uint8> raw(table.getLength());
  if (table.getPartialValue(raw.data(), 0, table.getLength()).bad()) return first;
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < fragments.size() && first.size() < frames; ++i) {
    const std::uint32_t wanted = GetU32Little(ByteView(raw).subspan(4 * first.size()));
    if (wanted == offset) first.push_back(i);
    offset += kItemHeaderBytes + fragments[i]->getLength();
  }
  if (first.size() != frames || first[0] != 0) first.clear();
  return first;
}

std::vector<std::size_t> OneEach(std::size_t frames) {
  std::vector<std::size_t> first(frames);
  for (std::size_t i = 0; i < frames; ++i) first[i] = i;
  return first;
}

}  // namespace

tl::expected<FrameFragments, std::string> FrameFragments::Find(DcmPixelSequence& sequence, std::uint32_t frames,
                                                               FrameStart start) {
  FrameFragments found;
  auto* table = dynamic_cast<DcmPixelItem*>(sequence.nextInContainer(nullptr));
  if (table == nullptr) return Reason("the pixel data has no Basic Offset Table item");
  for (DcmObject* item = sequence.nextInContainer(table); item != nullptr; item = sequence.nextInContainer(item)) {
    auto* fragment = dynamic_cast<DcmPixelItem*>(item);
    if (fragment == nullptr) return Reason("the pixel data holds something that is not a fragment");
    found.fragments_.push_back(fragment);
  }
  const std::size_t count = found.fragments_.size();
  if (count < frames) {
    return Reason(fmt::format("the dataset declares {} frames, but has {} fragments", frames, count));
  }
  if (count == frames) {
    found.first_ = OneEach(count);
  } else if (frames == 1) {
    // With more than one beginning, Number of Frames is missing or wrong, and all but one frame would be lost.
    if (FirstByStart(found.fragments_, start).size() > 1) {
      return Reason("the dataset declares one frame, but its fragments hold several");
    }
    found.first_ = {0};
  } else {
    found.first_ = FirstByTable(*table, found.fragments_, frames);
    if (found.first_.empty()) found.first_ = FirstByStart(found.fragments_, start);
    if (found.first_.size() != frames) {
      return Reason(fmt::format("the {} fragments cannot be told apart into {} frames", count, frames));
    }
  }
  found.first_.push_back(count);
  return found;
}

tl::expected<std::vector<std::uint8_t>, std::string> FrameFragments::Read(std::uint32_t frame,
                                                                          std::uint64_t bytes_max) const {
  std::uint64_t total = 0;
  for (std::size_t i = first_[frame]; i < first_[frame + 1]; ++i) total += fragments_[i]->getLength();
  if (total > bytes_max) return Reason(fmt::format("a compressed frame of {} bytes is over the limit", total));
  std::vector<std::uint8_t> bytes(total);
  std::size_t at = 0;
  for (std::size_t i = first_[frame]; i < first_[frame + 1]; ++i) {
    const Uint32 length = fragments_[i]->getLength();
    if (length > 0 && fragments_[i]->getPartialValue(bytes.data() + at, 0, length).bad()) {
      return Reason("a fragment of the pixel data cannot be read");
    }
    at += length;
  }
  return bytes;
}

}  // namespace dicom_sender
