#include "dicom/transcode/deflated.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "dicom/file/inflating_reader.h"
#include "dicom/transcode/reason.h"

namespace dicom_sender {

tl::expected<UniqueFd, std::string> InflateToFile(int fd, std::uint64_t offset, OutputFile output) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return Reason(fmt::format("reading failed: {}", std::strerror(errno)));
  FileReader file(fd, static_cast<std::uint64_t>(status.st_size));
  if (!file.Skip(offset)) return Reason("the deflated dataset is truncated");
  // `output` enforces the limit.
  InflatingReader dataset(file, std::numeric_limits<std::uint64_t>::max());
  for (auto block = dataset.PeekBlock(); !block.empty(); block = dataset.PeekBlock()) {
    if (!output.Append(block)) return Reason(output.error());
    dataset.Skip(block.size());
  }
  if (dataset.failure()) return Reason(dataset.failure()->reason);
  return output.Finish();
}

}  // namespace dicom_sender
