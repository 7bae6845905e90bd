// Gives every value of a dataset an even length, as PS3.5 7.1.1 requires. Writers that ignore this rule produce
// datasets of odd size, which do not fit into PDVs of even length (PS3.8 annex E): DCMTK's storescp aborts on them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace dicom_sender {

// Replaces the `replaced` bytes at `offset` with `bytes()`. Padding replaces nothing; a length or an entry of an
// offset table is replaced with one of the same size.
struct Edit {
  std::uint64_t offset = 0;
  std::uint8_t replaced = 0;
  std::uint8_t count = 0;
  std::array<std::uint8_t, 8> storage{};

  std::span<const std::uint8_t> bytes() const { return {storage.data(), count}; }
};

inline constexpr std::size_t kEditsMax = 1'000'000;

// The two characters of an element's VR ("LO"), or an empty view for an unknown element.
using VrLookup = std::function<std::string_view(std::uint16_t group, std::uint16_t element)>;

// Returns the edits that give even lengths to all values, fragments, items, and sequences of the dataset at `offset`
// in the first `file_bytes` of `fd`, in ascending order of their offsets; none if no length is odd. Pads text with a
// space and everything else with a zero byte (PS3.5 6.2). Adjusts group lengths and the offset tables of pixel data.
// Calls `vr_of` only for datasets in implicit VR. Plans no edits for deflated datasets.
//
// The error is one sentence that names the element: a number cannot be padded, a length field is too small for one
// more byte, the length around a value or an offset table contradicts the content, or more than kEditsMax edits are
// needed.
//
// Memory: 24 bytes for each edit. Time: that of ReadFileHeader, plus one small read for each entry of an offset
// table.
tl::expected<std::vector<Edit>, std::string> PlanEvenLengths(int fd, std::uint64_t offset, std::uint64_t file_bytes,
                                                             std::string_view transfer_syntax_uid,
                                                             const VrLookup& vr_of);

}  // namespace dicom_sender
