#include "tests/support/example_studies.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "tests/support/dicom_writer.h"

namespace dicom_sender {
namespace {

constexpr char kPixel = '\x2A';

// Returns the dataset up to the pixels.
std::string DatasetHead(const ExampleInstance& instance) {
  DicomWriter head;
  head.Uid(0x0008, 0x0016, instance.sop_class_uid).Uid(0x0008, 0x0018, instance.sop_instance_uid);
  if (!instance.accession_number.empty()) head.Text(0x0008, 0x0050, "SH", instance.accession_number);
  head.Text(0x0008, 0x0060, "CS", "OT");
  head.Text(0x0010, 0x0010, "PN", instance.patient_name).Text(0x0010, 0x0020, "LO", instance.patient_id);
  if (!instance.study_uid.empty()) head.Uid(0x0020, 0x000D, instance.study_uid);
  head.Uid(0x0020, 0x000E, instance.study_uid + ".9");
  head.Us(0x0028, 0x0002, 1).Text(0x0028, 0x0004, "CS", "MONOCHROME2");
  head.Us(0x0028, 0x0010, 2).Us(0x0028, 0x0011, instance.pixel_bytes / 2);
  head.Us(0x0028, 0x0100, 8).Us(0x0028, 0x0101, 8).Us(0x0028, 0x0102, 7).Us(0x0028, 0x0103, 0);
  return head.Header(0x7FE0, 0x0010, "OB", instance.pixel_bytes).bytes();
}

// Returns the file up to the pixels. Its length does not depend on the number of pixels.
std::string FileHead(const ExampleInstance& instance) {
  return MetaHeader(instance.transfer_syntax_uid, instance.sop_class_uid, instance.sop_instance_uid) +
         DatasetHead(instance);
}

}  // namespace

std::string ExampleDataset(const ExampleInstance& instance) {
  return DatasetHead(instance).append(instance.pixel_bytes, kPixel);
}

std::string ExampleFile(const ExampleInstance& instance) {
  return FileHead(instance).append(instance.pixel_bytes, kPixel);
}

void WriteFile(const std::filesystem::path& file, const std::string& bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary);
  out << bytes;
  if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

void WriteExampleFile(const std::filesystem::path& file, ExampleInstance instance, std::uint32_t file_bytes) {
  instance.pixel_bytes = file_bytes - static_cast<std::uint32_t>(FileHead(instance).size());
  const std::string head = FileHead(instance), pixels(1U << 20, kPixel);
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary);
  out << head;
  for (std::size_t left = instance.pixel_bytes; left > 0;) {
    const std::size_t part = std::min(left, pixels.size());
    out.write(pixels.data(), static_cast<std::streamsize>(part));
    left -= part;
  }
  if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

std::string ReadFile(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

ExampleInstance ExampleOf(int study, int image) {
  ExampleInstance instance;
  instance.study_uid = "1.2.826.0.1.3680043.10.1400." + std::to_string(study);
  instance.sop_instance_uid = instance.study_uid + "." + std::to_string(image);
  return instance;
}

std::filesystem::path ExamplePath(int study, int image) {
  return std::filesystem::path("study_" + std::to_string(study)) / ("image_" + std::to_string(image) + ".dcm");
}

std::vector<ExampleInstance> WriteExampleStudies(const std::filesystem::path& folder, int studies, int instances,
                                                 std::uint32_t pixel_bytes) {
  std::vector<ExampleInstance> written;
  for (int study = 1; study <= studies; ++study) {
    for (int image = 1; image <= instances; ++image) {
      ExampleInstance instance = ExampleOf(study, image);
      instance.pixel_bytes = pixel_bytes;
      WriteFile(folder / ExamplePath(study, image), ExampleFile(instance));
      written.push_back(std::move(instance));
    }
  }
  return written;
}

}  // namespace dicom_sender
