// Walks the structure of a dataset (PS3.5 section 7) from one element header to the next, without recursion.
// Internal to the header reader.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <tl/expected.hpp>

#include "dicom/file/byte_reader.h"
#include "dicom/file/file_header.h"
#include "dicom/transfer_syntax.h"

namespace dicom_sender {

inline constexpr std::size_t kNestingMax = 128;  // sequences within sequences
inline constexpr std::uint64_t kElementsMax = 10'000'000;
inline constexpr std::uint32_t kUndefinedLength = 0xFFFFFFFF;

constexpr std::uint32_t Tag(std::uint16_t group, std::uint16_t element) {
  return std::uint32_t{group} << 16 | element;
}

struct ElementHeader {
  std::uint32_t tag = 0;
  std::uint16_t vr = 0;  // its two characters, the first one in the high byte; 0 in implicit VR
  std::uint32_t length = 0;
  std::size_t header_bytes = 0;  // 8 or 12

  std::uint16_t group() const { return static_cast<std::uint16_t>(tag >> 16); }
};

// "(0008,0018)"
std::string TagName(std::uint32_t tag);

// Whether the two characters are a VR of PS3.5 table 6.2-1.
bool IsStandardVr(const std::uint8_t* characters);

// Peeks at the element header at the reader's position. The error says where the bytes end.
tl::expected<ElementHeader, HeaderError> PeekElementHeader(ByteReader& reader, Encoding encoding);

// Reads the value of a UID whose header has just been skipped, and skips it. Trailing NULs and spaces are removed.
tl::expected<std::string, HeaderError> TakeUid(ByteReader& reader, const ElementHeader& header);

// The error of a reader that has fewer bytes left than `what` needs.
HeaderError EndsInside(const ByteReader& reader, const std::string& what);

enum class PixelData { kNone, kNative, kEncapsulated };

struct DatasetFacts {
  std::string sop_class_uid, sop_instance_uid, study_instance_uid;  // top-level elements only
  std::string accession_number;
  PixelData pixel_data = PixelData::kNone;
};

// Receives the structure of a dataset during a walk. Offsets are positions of the walk's reader.
class WalkObserver {
 public:
  enum class Container { kSequence, kItem, kFragments };

  WalkObserver() = default;
  WalkObserver(const WalkObserver&) = delete;
  WalkObserver& operator=(const WalkObserver&) = delete;
  virtual ~WalkObserver() = default;

  // Called for an element that is not a container, and for a fragment.
  virtual void OnValue(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset) = 0;
  virtual void OnOpen(Container container, const ElementHeader& header, Encoding encoding,
                      std::uint64_t value_offset) = 0;
  // Called when the innermost open container ends.
  virtual void OnClose(std::uint64_t end_offset) = 0;
  // The container at this depth (0 is the outermost) turned out to be an ordinary value. Forget its content.
  virtual void OnWrongGuess(std::size_t depth) = 0;
};

// Walks from the reader's position to its end. `facts` has what was found, even if the walk fails. A directory record
// sequence is a kDicomDir error. `observer` may be null.
tl::expected<void, HeaderError> WalkDataset(ByteReader& reader, Encoding encoding, DatasetFacts& facts,
                                            WalkObserver* observer = nullptr);

}  // namespace dicom_sender
