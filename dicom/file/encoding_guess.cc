#include "dicom/file/encoding_guess.h"

#include "dicom/file/dataset_walk.h"

namespace dicom_sender {

tl::expected<Guess, HeaderError> GuessEncoding(FileReader& reader) {
  const std::uint8_t* bytes = reader.Peek(8);
  if (bytes == nullptr) return tl::unexpected(EndsInside(reader, "the header of its first element"));
  Guess guess;
  guess.encoding = {.implicit_vr = !IsStandardVr(bytes + 4), .big_endian = bytes[1] != 0 && bytes[0] == 0};
  // In implicit VR, these bytes are a length below 8 KiB. So they cannot be the characters of an unusual VR either.
  const bool has_small_length = bytes[5] < ' ' && bytes[6] == 0 && bytes[7] == 0;
  const auto header = PeekElementHeader(reader, guess.encoding);
  if (!header) return tl::unexpected(header.error());
  guess.group = header->group();
  guess.fits = header->length == kUndefinedLength || header->length <= reader.remaining() - header->header_bytes;
  guess.sure = !guess.encoding.implicit_vr || (has_small_length && guess.fits && !guess.encoding.big_endian);
  return guess;
}

}  // namespace dicom_sender
