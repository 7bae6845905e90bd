#include "tests/unit/dicom/transcode/test_image.h"

#include "tests/support/example_studies.h"

namespace dicom_sender {

TestImage MakeImage(TestImage shape) {
  const unsigned mask = (1u << shape.bits_stored) - 1;
  unsigned noise = 12345;
  shape.pixels.clear();
  for (int frame = 0; frame < shape.frames; ++frame) {
    for (int i = 0; i < shape.rows * shape.columns * shape.samples; ++i) {
      noise = noise * 1103515245u + 12345u;
      const int at = i / shape.samples;
      const unsigned ramp = static_cast<unsigned>(at % shape.columns * 5 + at / shape.columns * 3 +
                                                  i % shape.samples * 40 + frame * 31);
      unsigned value = (ramp << (shape.bits_stored - 8)) + (noise >> 28);
      if (i == 0) value = mask;             // all bits
      if (i == 1) value = (mask >> 1) + 1;  // the sign bit alone
      value &= mask;
      if (shape.is_signed && (value & ((mask >> 1) + 1)) != 0) value |= ~mask;
      shape.pixels.push_back(static_cast<std::uint8_t>(value));
      if (shape.bits_allocated == 16) shape.pixels.push_back(static_cast<std::uint8_t>(value >> 8));
    }
  }
  return shape;
}

DicomWriter ImagePixelModule(const TestImage& image) {
  const auto number = [](int value) { return static_cast<std::uint32_t>(value); };
  DicomWriter writer;
  writer.Us(0x0028, 0x0002, number(image.samples)).Text(0x0028, 0x0004, "CS", image.photometric);
  if (image.samples > 1) writer.Us(0x0028, 0x0006, image.color_by_plane);
  if (image.frames > 1) writer.Text(0x0028, 0x0008, "IS", std::to_string(image.frames));
  writer.Us(0x0028, 0x0010, number(image.rows)).Us(0x0028, 0x0011, number(image.columns));
  writer.Us(0x0028, 0x0100, number(image.bits_allocated)).Us(0x0028, 0x0101, number(image.bits_stored));
  return writer.Us(0x0028, 0x0102, number(image.bits_stored - 1)).Us(0x0028, 0x0103, image.is_signed);
}

DicomWriter StandardElements(const TestImage& image) {
  DicomWriter writer;
  writer.Uid(0x0008, 0x0016, kSecondaryCaptureClass).Uid(0x0008, 0x0018, kSopInstance);
  writer.Uid(0x0020, 0x000D, "1.2.826.0.1.3680043.10.1").Text(0x0020, 0x0020, "CS", "L\\P");
  return writer.Raw(ImagePixelModule(image));
}

Bytes File(std::string_view syntax, const Bytes& dataset) {
  const std::string meta = MetaHeader(syntax, kSecondaryCaptureClass, kSopInstance);
  Bytes file(meta.begin(), meta.end());
  file.insert(file.end(), dataset.begin(), dataset.end());
  return file;
}

Bytes NativeDataset(const TestImage& image) {
  const std::string_view vr = image.bits_allocated > 8 ? "OW" : "OB";
  return StandardElements(image).Binary(0x7FE0, 0x0010, vr, image.pixels).byte_vector();
}

Bytes NativeFile(const TestImage& image) { return File(kExplicit, NativeDataset(image)); }

Bytes EncapsulatedFile(const TestImage& image, std::string_view syntax, const std::vector<Bytes>& fragments,
                       const Bytes& offset_table) {
  return File(syntax, StandardElements(image).Encapsulated(fragments, offset_table).byte_vector());
}

Bytes OffsetTable(const std::vector<std::uint32_t>& offsets) {
  Bytes table;
  for (const std::uint32_t offset : offsets) PutU32Little(table, offset);
  return table;
}

void WriteBytes(const std::filesystem::path& path, const Bytes& bytes) {
  WriteFile(path, {bytes.begin(), bytes.end()});
}

Bytes ReadBytes(const std::filesystem::path& path) {
  const std::string bytes = ReadFile(path);
  return {bytes.begin(), bytes.end()};
}

}  // namespace dicom_sender
