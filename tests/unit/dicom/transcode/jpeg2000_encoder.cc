#include "tests/unit/dicom/transcode/jpeg2000_encoder.h"

#include <openjpeg.h>

#include <cstring>
#include <memory>
#include <stdexcept>

namespace dicom_sender {
namespace {

struct Sink {
  Bytes bytes;
  std::size_t at = 0;
};

OPJ_SIZE_T Write(void* data, OPJ_SIZE_T count, void* user) {
  auto& sink = *static_cast<Sink*>(user);
  sink.bytes.resize(std::max(sink.bytes.size(), sink.at + count));
  std::memcpy(sink.bytes.data() + sink.at, data, count);
  sink.at += count;
  return count;
}

OPJ_OFF_T Skip(OPJ_OFF_T count, void* user) {
  auto& sink = *static_cast<Sink*>(user);
  sink.at += static_cast<std::size_t>(count);
  sink.bytes.resize(std::max(sink.bytes.size(), sink.at));
  return count;
}

OPJ_BOOL Seek(OPJ_OFF_T position, void* user) {
  static_cast<Sink*>(user)->at = static_cast<std::size_t>(position);
  return OPJ_TRUE;
}

std::int32_t Sample(const TestImage& image, std::size_t index, int precision, bool as_signed) {
  std::uint32_t value = image.pixels[index * static_cast<std::size_t>(image.bits_allocated / 8)];
  if (image.bits_allocated == 16) value |= std::uint32_t{image.pixels[2 * index + 1]} << 8;
  const std::uint32_t sign = 1u << (precision - 1);
  value &= (sign << 1) - 1;
  return as_signed ? static_cast<std::int32_t>((value ^ sign) - sign) : static_cast<std::int32_t>(value);
}

std::unique_ptr<opj_image_t, decltype(&opj_image_destroy)> MakeOpjImage(const TestImage& image, int frame,
                                                                        int precision, bool as_signed) {
  opj_image_cmptparm_t component{};
  component.dx = component.dy = 1;
  component.w = static_cast<OPJ_UINT32>(image.columns);
  component.h = static_cast<OPJ_UINT32>(image.rows);
  component.prec = static_cast<OPJ_UINT32>(precision);
  component.sgnd = as_signed;
  std::vector<opj_image_cmptparm_t> components(static_cast<std::size_t>(image.samples), component);
  std::unique_ptr<opj_image_t, decltype(&opj_image_destroy)> made(
      opj_image_create(static_cast<OPJ_UINT32>(image.samples), components.data(),
                       image.samples == 3 ? OPJ_CLRSPC_SRGB : OPJ_CLRSPC_GRAY),
      &opj_image_destroy);
  made->x1 = component.w;
  made->y1 = component.h;
  const auto pixels = static_cast<std::size_t>(image.rows * image.columns);
  const auto samples = static_cast<std::size_t>(image.samples);
  const std::size_t first = static_cast<std::size_t>(frame) * pixels * samples;
  for (std::size_t i = 0; i < pixels * samples; ++i) {
    made->comps[i % samples].data[i / samples] = Sample(image, first + i, precision, as_signed);
  }
  return made;
}

}  // namespace

Bytes EncodeJpeg2000(const TestImage& image, int frame, const Jpeg2000Options& options) {
  const int precision = options.precision == 0 ? image.bits_stored : options.precision;
  const bool as_signed = options.codestream_signed < 0 ? image.is_signed : options.codestream_signed != 0;
  const auto source = MakeOpjImage(image, frame, precision, as_signed);
  opj_cparameters_t parameters;
  opj_set_default_encoder_parameters(&parameters);
  parameters.tcp_mct = image.samples == 3 && options.component_transform;
  parameters.irreversible = options.irreversible;
  parameters.numresolution = 3;
  parameters.tcp_numlayers = 1;
  parameters.tcp_rates[0] = options.irreversible ? 4.0f : 0.0f;
  parameters.cp_disto_alloc = 1;
  const std::unique_ptr<opj_codec_t, decltype(&opj_destroy_codec)> codec(
      opj_create_compress(options.jp2_file ? OPJ_CODEC_JP2 : OPJ_CODEC_J2K), &opj_destroy_codec);
  const std::unique_ptr<opj_stream_t, decltype(&opj_stream_destroy)> stream(opj_stream_create(64 << 10, OPJ_FALSE),
                                                                            &opj_stream_destroy);
  Sink sink;
  opj_stream_set_write_function(stream.get(), Write);
  opj_stream_set_skip_function(stream.get(), Skip);
  opj_stream_set_seek_function(stream.get(), Seek);
  opj_stream_set_user_data(stream.get(), &sink, nullptr);
  if (!opj_setup_encoder(codec.get(), &parameters, source.get()) ||
      !opj_start_compress(codec.get(), source.get(), stream.get()) || !opj_encode(codec.get(), stream.get()) ||
      !opj_end_compress(codec.get(), stream.get())) {
    throw std::runtime_error("OpenJPEG does not encode this image");
  }
  return sink.bytes;
}

}  // namespace dicom_sender
