#include "tests/support/example_studies.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace dicom_sender {
namespace {

void Put16(std::string& out, std::uint32_t value) {
  out.push_back(static_cast<char>(value & 0xFF));
  out.push_back(static_cast<char>(value >> 8 & 0xFF));
}
void Put32(std::string& out, std::uint32_t value) {
  Put16(out, value & 0xFFFF);
  Put16(out, value >> 16);
}

// Explicit VR little endian, PS3.5 7.1.2.
void PutHeader(std::string& out, std::uint32_t tag, const char* vr, std::uint32_t value_bytes) {
  Put16(out, tag >> 16);
  Put16(out, tag & 0xFFFF);
  out.append(vr);
  if (vr[0] == 'O') {
    Put16(out, 0);
    Put32(out, value_bytes);
  } else {
    Put16(out, value_bytes);
  }
}

void PutElement(std::string& out, std::uint32_t tag, const char* vr, std::string value) {
  if (value.size() % 2 != 0) value.push_back(std::string_view(vr) == "UI" ? '\0' : ' ');
  PutHeader(out, tag, vr, static_cast<std::uint32_t>(value.size()));
  out.append(value);
}

std::string Us(std::uint32_t value) {
  std::string out;
  Put16(out, value);
  return out;
}

constexpr char kPixel = '\x2A';

// All of the dataset before the pixels.
std::string DatasetHead(const ExampleInstance& instance) {
  std::string out;
  PutElement(out, 0x00080016, "UI", instance.sop_class_uid);
  PutElement(out, 0x00080018, "UI", instance.sop_instance_uid);
  if (!instance.accession_number.empty()) PutElement(out, 0x00080050, "SH", instance.accession_number);
  PutElement(out, 0x00080060, "CS", "OT");
  PutElement(out, 0x00100010, "PN", instance.patient_name);
  PutElement(out, 0x00100020, "LO", instance.patient_id);
  if (!instance.study_uid.empty()) PutElement(out, 0x0020000D, "UI", instance.study_uid);
  PutElement(out, 0x0020000E, "UI", instance.study_uid + ".9");
  PutElement(out, 0x00280002, "US", Us(1));
  PutElement(out, 0x00280004, "CS", "MONOCHROME2");
  PutElement(out, 0x00280010, "US", Us(2));
  PutElement(out, 0x00280011, "US", Us(instance.pixel_bytes / 2));
  PutElement(out, 0x00280100, "US", Us(8));
  PutElement(out, 0x00280101, "US", Us(8));
  PutElement(out, 0x00280102, "US", Us(7));
  PutElement(out, 0x00280103, "US", Us(0));
  PutHeader(out, 0x7FE00010, "OB", instance.pixel_bytes);
  return out;
}

// All of the file before the pixels; as long for any number of them.
std::string FileHead(const ExampleInstance& instance) {
  std::string meta;
  PutElement(meta, 0x00020001, "OB", std::string("\0\1", 2));
  PutElement(meta, 0x00020002, "UI", instance.sop_class_uid);
  PutElement(meta, 0x00020003, "UI", instance.sop_instance_uid);
  PutElement(meta, 0x00020010, "UI", instance.transfer_syntax_uid);
  PutElement(meta, 0x00020012, "UI", "1.2.826.0.1.3680043.10.1400");
  std::string out(128, '\0');
  out.append("DICM");
  std::string length;
  Put32(length, static_cast<std::uint32_t>(meta.size()));
  PutElement(out, 0x00020000, "UL", length);
  return out.append(meta).append(DatasetHead(instance));
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

std::vector<ExampleInstance> WriteExampleStudies(const std::filesystem::path& folder, int studies, int instances,
                                                 std::uint32_t pixel_bytes) {
  std::vector<ExampleInstance> written;
  for (int study = 1; study <= studies; ++study) {
    for (int image = 1; image <= instances; ++image) {
      ExampleInstance instance;
      instance.study_uid = "1.2.826.0.1.3680043.10.1400." + std::to_string(study);
      instance.sop_instance_uid = instance.study_uid + "." + std::to_string(image);
      instance.pixel_bytes = pixel_bytes;
      WriteFile(folder / ("study_" + std::to_string(study)) / ("image_" + std::to_string(image) + ".dcm"),
                ExampleFile(instance));
      written.push_back(std::move(instance));
    }
  }
  return written;
}

}  // namespace dicom_sender
