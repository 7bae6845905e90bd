// Small DICOM files for tests and benchmarks: Part 10, explicit VR little endian, without real patients' data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace dicom_sender {

struct ExampleInstance {
  std::string study_uid = "1.2.826.0.1.3680043.10.1400.1";
  std::string sop_instance_uid = "1.2.826.0.1.3680043.10.1400.1.1";
  std::string sop_class_uid = "1.2.840.10008.5.1.4.1.1.7";  // Secondary Capture
  std::string transfer_syntax_uid = "1.2.840.10008.1.2.1";  // written as given; the dataset is always explicit VR LE
  std::uint32_t pixel_bytes = 64;                           // must be even
  std::string patient_name = "Nobody";
  std::string patient_id = "0";
  std::string accession_number = {};  // empty: the element is missing
};

// Returns the file's bytes.
std::string ExampleFile(const ExampleInstance& instance);
// Returns the same without preamble and meta header, which is what a destination must receive.
std::string ExampleDataset(const ExampleInstance& instance);

// Writes an ExampleFile with as many pixels as needed for a length of `file_bytes` (even, at least 2048). Needs
// little memory.
void WriteExampleFile(const std::filesystem::path& file, ExampleInstance instance, std::uint32_t file_bytes);

void WriteFile(const std::filesystem::path& file, const std::string& bytes);
std::string ReadFile(const std::filesystem::path& file);

// Returns the instance of a study (both counted from 1) and its path: study_S/image_I.dcm.
ExampleInstance ExampleOf(int study, int image);
std::filesystem::path ExamplePath(int study, int image);

// Writes `studies` folders with `instances` files each.
std::vector<ExampleInstance> WriteExampleStudies(const std::filesystem::path& folder, int studies, int instances,
                                                 std::uint32_t pixel_bytes = 64);

}  // namespace dicom_sender
