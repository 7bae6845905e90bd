// Random bytes as a dataset in any transfer syntax. Either there is a reason why it cannot be padded, or the edits
// give it even lengths and the result needs no further edits. A dataset without odd lengths must not change.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "common/unique_fd.h"
#include "dicom/file/even_lengths.h"

namespace {

using namespace dicom_sender;

// The last one is a private syntax, whose encoding is guessed.
constexpr std::array<std::string_view, 5> kSyntaxes = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1",
                                                       "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5", "1.2.3"};

void Require(bool holds) {
  if (!holds) std::abort();
}

// Alternates between text, a number, and an unknown VR.
std::string_view VrOf(std::uint16_t, std::uint16_t element) {
  constexpr std::array<std::string_view, 3> kVrs = {"LO", "US", ""};
  return kVrs[element % kVrs.size()];
}

tl::expected<std::vector<Edit>, std::string> Plan(const std::string& dataset, std::string_view syntax) {
  const UniqueFd file(memfd_create("dataset", MFD_CLOEXEC));
  Require(file.valid() && write(file.get(), dataset.data(), dataset.size()) == static_cast<ssize_t>(dataset.size()));
  return PlanEvenLengths(file.get(), 0, dataset.size(), syntax, VrOf);
}

// Fails if two edits overlap or are out of order.
std::string Apply(const std::string& dataset, const std::vector<Edit>& edits) {
  std::string out;
  std::uint64_t from = 0;
  for (const Edit& edit : edits) {
    Require(edit.offset >= from && edit.offset + edit.replaced <= dataset.size());
    Require(edit.replaced == edit.count || (edit.replaced == 0 && edit.count == 1));
    out.append(dataset, from, edit.offset - from);
    out.append(edit.bytes().begin(), edit.bytes().end());
    from = edit.offset + edit.replaced;
  }
  return out.append(dataset, from);
}

// In implicit VR the structure is guessed, and an additional byte may change the guess. Implicit VR also applies
// inside elements of undefined length with VR UN or an unknown VR.
bool MayBeGuessed(const std::string& dataset, std::string_view syntax) {
  if (syntax == kSyntaxes.front() || syntax == kSyntaxes.back()) return true;
  for (auto at = dataset.find("\xFF\xFF\xFF\xFF"); at != std::string::npos;
       at = dataset.find("\xFF\xFF\xFF\xFF", at + 1)) {
    const std::string before = at < 4 ? "" : dataset.substr(at - 4, 2);
    if (before != "SQ" && before != "OB" && before != "OW" && before != "\xFE\xFF" && before != "\xFF\xFE")
      return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view syntax = kSyntaxes[data[0] % kSyntaxes.size()];
  const std::string dataset(data + 1, data + size);
  const auto edits = Plan(dataset, syntax);
  if (!edits) {
    Require(!edits.error().empty());
    return 0;
  }
  const std::string even = Apply(dataset, *edits);
  Require(even.size() % 2 == 0);
  if (MayBeGuessed(dataset, syntax)) return 0;
  const auto again = Plan(even, syntax);
  Require(again && again->empty());
  return 0;
}
