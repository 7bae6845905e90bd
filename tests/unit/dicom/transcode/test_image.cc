#include "tests/unit/dicom/transcode/dicom_bytes.h"

#include <fstream>
#include <iterator>
#include <stdexcept>

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

void ElementWriter::Header(std::uint16_t group, std::uint16_t element, std::string_view vr) {
  for (const std::uint16_t part : {group, element}) {
    bytes_.push_back(static_cast<std::uint8_t>(part));
    bytes_.push_back(static_cast<std::uint8_t>(part >> 8));
  }
  bytes_.insert(bytes_.end(), vr.begin(), vr.end());
}

void ElementWriter::Add32(std::size_t value) {
  for (int shift = 0; shift < 32; shift += 8) bytes_.push_back(static_cast<std::uint8_t>(value >> shift));
}

ElementWriter& ElementWriter::Text(std::uint16_t group, std::uint16_t element, std::string_view vr,
                                   std::string_view value) {
  Header(group, element, vr);
  const std::size_t length = value.size() + value.size() % 2;
  bytes_.push_back(static_cast<std::uint8_t>(length));
  bytes_.push_back(static_cast<std::uint8_t>(length >> 8));
  bytes_.insert(bytes_.end(), value.begin(), value.end());
  if (length != value.size()) bytes_.push_back(vr == "UI" ? 0 : ' ');
  return *this;
}

ElementWriter& ElementWriter::Number(std::uint16_t group, std::uint16_t element, int value) {
  const char raw[2] = {static_cast<char>(value), static_cast<char>(value >> 8)};
  return Text(group, element, "US", std::string_view(raw, 2));
}

ElementWriter& ElementWriter::Long(std::uint16_t group, std::uint16_t element, std::string_view vr,
                                   std::span<const std::uint8_t> value) {
  Header(group, element, vr);
  bytes_.insert(bytes_.end(), 2, 0);
  Add32(value.size() + value.size() % 2);
  bytes_.insert(bytes_.end(), value.begin(), value.end());
  if (value.size() % 2 == 1) bytes_.push_back(0);
  return *this;
}

ElementWriter& ElementWriter::Sequence(std::uint16_t group, std::uint16_t element, const Bytes& item) {
  ElementWriter content;
  content.Header(0xFFFE, 0xE000, "");
  content.Add32(item.size());
  content.bytes_.insert(content.bytes_.end(), item.begin(), item.end());
  return Long(group, element, "SQ", content.bytes_);
}

ElementWriter& ElementWriter::Encapsulated(const std::vector<Bytes>& fragments, const Bytes& offset_table) {
  Header(0x7FE0, 0x0010, "OB");
  bytes_.insert(bytes_.end(), 2, 0);
  Add32(0xFFFFFFFF);
  const auto item = [this](const Bytes& value) {
    Header(0xFFFE, 0xE000, "");
    Add32(value.size() + value.size() % 2);
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    if (value.size() % 2 == 1) bytes_.push_back(0);
  };
  item(offset_table);
  for (const Bytes& fragment : fragments) item(fragment);
  Header(0xFFFE, 0xE0DD, "");
  Add32(0);
  return *this;
}

ElementWriter& ElementWriter::ImagePixelModule(const TestImage& image) {
  Number(0x0028, 0x0002, image.samples);
  Text(0x0028, 0x0004, "CS", image.photometric);
  if (image.samples > 1) Number(0x0028, 0x0006, image.color_by_plane);
  if (image.frames > 1) Text(0x0028, 0x0008, "IS", std::to_string(image.frames));
  Number(0x0028, 0x0010, image.rows);
  Number(0x0028, 0x0011, image.columns);
  Number(0x0028, 0x0100, image.bits_allocated);
  Number(0x0028, 0x0101, image.bits_stored);
  Number(0x0028, 0x0102, image.bits_stored - 1);
  return Number(0x0028, 0x0103, image.is_signed);
}

ElementWriter StandardElements(const TestImage& image) {
  ElementWriter writer;
  writer.Text(0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.7").Text(0x0008, 0x0018, "UI", kSopInstance);
  writer.Text(0x0020, 0x000D, "UI", "1.2.826.0.1.3680043.10.1").Text(0x0020, 0x0020, "CS", "L\\P");
  return writer.ImagePixelModule(image);
}

Bytes File(std::string_view syntax, const Bytes& dataset) {
  ElementWriter rest;
  rest.Text(0x0002, 0x0002, "UI", "1.2.840.10008.5.1.4.1.1.7").Text(0x0002, 0x0003, "UI", kSopInstance);
  rest.Text(0x0002, 0x0010, "UI", syntax);
  ElementWriter group_length;
  const auto size = static_cast<char>(rest.bytes().size());
  group_length.Text(0x0002, 0x0000, "UL", std::string_view(std::string{size, 0, 0, 0}));
  Bytes file(128, 0);
  file.insert(file.end(), {'D', 'I', 'C', 'M'});
  for (const Bytes* part : {&group_length.bytes(), &rest.bytes(), &dataset}) {
    file.insert(file.end(), part->begin(), part->end());
  }
  return file;
}

Bytes NativeDataset(const TestImage& image) {
  const std::string_view vr = image.bits_allocated > 8 ? "OW" : "OB";
  return StandardElements(image).Long(0x7FE0, 0x0010, vr, image.pixels).bytes();
}

Bytes NativeFile(const TestImage& image) { return File(kExplicit, NativeDataset(image)); }

Bytes EncapsulatedFile(const TestImage& image, std::string_view syntax, const std::vector<Bytes>& fragments,
                       const Bytes& offset_table) {
  return File(syntax, StandardElements(image).Encapsulated(fragments, offset_table).bytes());
}

Bytes OffsetTable(const std::vector<std::uint32_t>& offsets) {
  Bytes table;
  for (const std::uint32_t offset : offsets) {
    for (int shift = 0; shift < 32; shift += 8) table.push_back(static_cast<std::uint8_t>(offset >> shift));
  }
  return table;
}

void WriteBytes(const std::filesystem::path& path, const Bytes& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

Bytes ReadBytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace dicom_sender
