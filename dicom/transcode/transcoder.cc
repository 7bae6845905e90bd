#include "dicom/transcode/transcoder.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcostrma.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmdata/dcwcache.h>
#include <dcmtk/oflog/oflog.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>

#include "dicom/byte_order.h"
#include "dicom/file/meta_header.h"
#include "dicom/transcode/deflated.h"
#include "dicom/transcode/fragments.h"
#include "dicom/transcode/image_format.h"
#include "dicom/transcode/jpeg.h"
#include "dicom/transcode/jpeg2000.h"
#include "dicom/transcode/output_file.h"
#include "dicom/transcode/padding.h"
#include "dicom/transcode/reason.h"
#include "dicom/transcode/rle.h"

namespace dicom_sender {
namespace {

static_assert(std::endian::native == std::endian::little,
              "decoded samples are little endian and handed to DCMTK as they are");

using Status = tl::expected<void, std::string>;  // the error is the reason

constexpr std::uint64_t kNativePixelBytesMax = 0xFFFFFFFE;  // 32 bits of length, even (PS3.5 7.1.1)
constexpr int kNestingMax = 64;

E_TransferSyntax ToDcmtk(const TransferSyntax& syntax) { return DcmXfer(std::string(syntax.uid).c_str()).getXfer(); }

FrameStart FrameStartOf(Decoder decoder) {
  if (decoder == Decoder::kJpeg || decoder == Decoder::kJpegLs) return FrameStart::kJpeg;
  return decoder == Decoder::kJpeg2000 ? FrameStart::kJpeg2000 : FrameStart::kUnknown;
}

// Lets DCMTK write to the output file.
class OutputConsumer : public DcmConsumer {
 public:
  explicit OutputConsumer(OutputFile& file) : file_(file) {}
  OFBool good() const override { return file_.error().empty(); }
  OFCondition status() const override { return good() ? EC_Normal : EC_InvalidStream; }
  OFBool isFlushed() const override { return OFTrue; }
  offile_off_t avail() const override { return 1 << 20; }
  offile_off_t write(const void* bytes, offile_off_t count) override {
    const auto size = static_cast<std::size_t>(count);
    return file_.Append({static_cast<const std::uint8_t*>(bytes), size}) ? count : 0;
  }
  void flush() override {}

 private:
  OutputFile& file_;
};

class OutputStream : public DcmOutputStream {
 public:
  explicit OutputStream(OutputConsumer& consumer) : DcmOutputStream(&consumer) {}
};

// Encapsulated pixel data, and the item that describes it.
struct Image {
  ImageFormat declared;
  FrameFragments fragments;
  const TransferSyntax* syntax = nullptr;  // has a decoder
};

DcmPixelSequence* Encapsulated(DcmPixelData& pixels) {
  E_TransferSyntax syntax = EXS_Unknown;
  const DcmRepresentationParameter* parameter = nullptr;
  pixels.getOriginalRepresentationKey(syntax, parameter);
  DcmPixelSequence* sequence = nullptr;
  if (!DcmXfer(syntax).isEncapsulated() || pixels.getEncapsulatedRepresentation(syntax, parameter, sequence).bad()) {
    return nullptr;
  }
  return sequence;
}

DcmPixelData* FindPixelData(DcmItem& item) {
  DcmElement* element = nullptr;
  return item.findAndGetElement(DCM_PixelData, element).good() ? dynamic_cast<DcmPixelData*>(element) : nullptr;
}

tl::expected<Image, std::string> OpenImage(DcmItem& item, DcmPixelSequence& sequence, const TransferSyntax& syntax,
                                           const TranscodeOptions& options) {
  auto declared = ReadImageFormat(item);
  if (!declared) return Reason(declared.error());
  // A stream may have more bits than the dataset allocates: at most 16 if the dataset declares fewer.
  const std::uint64_t frame_bytes = declared->samples() * std::max(2, declared->bits_allocated / 8);
  if (frame_bytes > options.frame_bytes_max) {
    return Reason(fmt::format("one frame has {} bytes, the limit is {}", frame_bytes, options.frame_bytes_max));
  }
  auto fragments = FrameFragments::Find(sequence, declared->frames, FrameStartOf(syntax.decoder));
  if (!fragments) return Reason(fragments.error());
  return Image{.declared = std::move(*declared), .fragments = std::move(*fragments), .syntax = &syntax};
}

FrameResult DecodeStream(std::span<const std::uint8_t> stream, const Image& image) {
  switch (image.syntax->decoder) {
    case Decoder::kJpeg:
    case Decoder::kJpegLs:
      return DecodeJpegFrame(stream, image.declared, *image.syntax);
    case Decoder::kJpeg2000:
      return DecodeJpeg2000Frame(stream, image.declared);
    default:
      return DecodeRleFrame(stream, image.declared);
  }
}

FrameResult DecodeFrame(const Image& image, std::uint32_t index, std::uint64_t bytes_max) {
  const auto stream = image.fragments.Read(index, bytes_max);
  if (!stream) return Reason(stream.error());
  FrameResult frame = DecodeStream(*stream, image);
  if (!frame && image.declared.frames > 1) {
    return Reason(fmt::format("frame {}: {}", index + 1, frame.error()));
  }
  return frame;
}

// Decodes all frames in order. The first frame determines the attributes of the dataset: `begin` gets its format and
// whether it was lossy, then `put` gets each frame.
Status ForEachFrame(const Image& image, std::uint64_t bytes_max,
                    const std::function<Status(const ImageFormat&, bool lossy)>& begin,
                    const std::function<Status(const std::vector<std::uint8_t>&)>& put) {
  ImageFormat format;
  for (std::uint32_t i = 0; i < image.declared.frames; ++i) {
    const FrameResult frame = DecodeFrame(image, i, bytes_max);
    if (!frame) return Reason(frame.error());
    if (i == 0) {
      format = frame->format;
      if (format.frame_bytes() * format.frames > kNativePixelBytesMax) {
        return Reason("the decoded pixel data would not fit into the 4 GB that an element can have");
      }
      if (Status begun = begin(format, frame->lossy); !begun) return begun;
    } else if (frame->format != format) {
      return Reason(fmt::format("frame {} has another format than the first one", i + 1));
    }
    if (Status done = put(frame->bytes); !done) return done;
  }
  return {};
}

// The Extended Offset Table and its lengths refer to fragments that no longer exist. The group length is no longer
// correct either, and it is retired (PS3.5 7.2).
void RemoveEncapsulationAttributes(DcmItem& item) {
  item.findAndDeleteElement(DCM_ExtendedOffsetTable);
  item.findAndDeleteElement(DCM_ExtendedOffsetTableLengths);
  item.findAndDeleteElement(DcmTagKey(0x7FE0, 0x0000));
}

class Job {
 public:
  Job(DcmDataset& dataset, const TransferSyntax& syntax, const TransferSyntax& target,
      const TranscodeOptions& options, OutputFile& output)
      : dataset_(dataset), syntax_(syntax), target_(target), options_(options), output_(output) {}

  Status Run();

 private:
  Status DecodeNested(DcmItem& item, int depth);
  Status DecodeInMemory(DcmItem& item, DcmPixelSequence& sequence);
  Status CheckByteOrder() const;
  Status WriteDecoded(DcmPixelSequence& sequence);
  Status WritePixelDataHeader(const ImageFormat& format, std::uint64_t bytes);
  Status WriteFrame(const std::vector<std::uint8_t>& bytes, const ImageFormat& format);
  Status WriteElements(DcmDataset& elements);
  Status Append(std::span<const std::uint8_t> bytes);

  DcmDataset& dataset_;
  const TransferSyntax& syntax_;
  const TransferSyntax& target_;
  const TranscodeOptions& options_;
  OutputFile& output_;
};

Status Job::Append(std::span<const std::uint8_t> bytes) {
  if (!output_.Append(bytes)) return Reason(output_.error());
  return {};
}

Status Job::WriteElements(DcmDataset& elements) {
  // Write sequences with explicit lengths, and keep existing group lengths, as DCMTK's own senders do.
  constexpr E_EncodingType kEncoding = EET_ExplicitLength;
  const std::uint64_t before = output_.size_bytes();
  OutputConsumer consumer(output_);
  OutputStream stream(consumer);
  DcmWriteCache cache;
  elements.transferInit();
  const OFCondition written = elements.write(stream, ToDcmtk(target_), kEncoding, &cache, EGL_recalcGL, EPD_noChange);
  elements.transferEnd();
  if (!output_.error().empty()) return Reason(output_.error());
  if (written.bad()) return Reason(fmt::format("the dataset cannot be encoded: {}", written.text()));
  // If a value can no longer be read from the file, DCMTK writes the element without it and reports no error. The
  // lengths are even now, because DCMTK pads values while it writes them.
  const Uint32 expected = elements.getLength(ToDcmtk(target_), kEncoding);
  if (expected != DCM_UndefinedLength && output_.size_bytes() - before != expected) {
    return Reason("a value of the dataset could not be read again");
  }
  return {};
}

Status Job::WritePixelDataHeader(const ImageFormat& format, std::uint64_t bytes) {
  const Encoding encoding = target_.encoding;
  Bytes header(encoding.implicit_vr ? 8 : 12);
  const std::span<std::uint8_t> field(header);
  SetNumber(field.first(2), 0x7FE0, encoding.big_endian);
  SetNumber(field.subspan(2, 2), 0x0010, encoding.big_endian);
  // Samples of one byte are OB, which has no byte order; others are OW (PS3.5 A.1 to A.3).
  if (!encoding.implicit_vr) {
    header[4] = 'O';
    header[5] = format.bits_allocated > 8 ? 'W' : 'B';
  }
  SetNumber(field.last(4), bytes, encoding.big_endian);
  return Append(header);
}

Status Job::WriteFrame(const std::vector<std::uint8_t>& bytes, const ImageFormat& format) {
  if (!target_.encoding.big_endian || format.bits_allocated == 8) return Append(bytes);
  std::vector<std::uint8_t> swapped(bytes.size());
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    swapped[i] = bytes[i + 1];
    swapped[i + 1] = bytes[i];
  }
  return Append(swapped);
}

// Decodes the dataset's own image directly into the output: elements before it, frames, elements after it.
Status Job::WriteDecoded(DcmPixelSequence& sequence) {
  const auto image = OpenImage(dataset_, sequence, syntax_, options_);
  if (!image) return Reason(image.error());
  std::unique_ptr<DcmElement> pixels;  // the fragments: removed from the dataset, but needed until the last frame
  DcmDataset after;
  ImageFormat format;
  const auto begin = [&](const ImageFormat& decoded, bool lossy) -> Status {
    format = decoded;
    WriteImageFormat(dataset_, image->declared, format);
    if (lossy) (void)dataset_.putAndInsertString(DCM_LossyImageCompression, "01");  // PS3.3 C.7.6.1.1.5
    RemoveEncapsulationAttributes(dataset_);
    while (dataset_.card() > 0 && dataset_.getElement(dataset_.card() - 1)->getTag().getXTag() > DCM_PixelData) {
      (void)after.insert(dataset_.remove(dataset_.card() - 1));
    }
    pixels.reset(dataset_.remove(DCM_PixelData));
    if (Status done = WriteElements(dataset_); !done) return done;
    const std::uint64_t bytes = format.frame_bytes() * format.frames;
    return WritePixelDataHeader(format, bytes + bytes % 2);
  };
  const auto put = [&](const std::vector<std::uint8_t>& bytes) { return WriteFrame(bytes, format); };
  if (Status done = ForEachFrame(*image, options_.frame_bytes_max, begin, put); !done) return done;
  if (format.frame_bytes() * format.frames % 2 == 1) {
    if (Status done = Append(std::array<std::uint8_t, 1>{0}); !done) return done;
  }
  return WriteElements(after);
}

// Replaces encapsulated pixel data inside a sequence, such as an icon's, with native pixel data.
Status Job::DecodeInMemory(DcmItem& item, DcmPixelSequence& sequence) {
  const auto image = OpenImage(item, sequence, syntax_, options_);
  if (!image) return Reason(image.error());
  if (image->declared.frame_bytes() * image->declared.frames > options_.frame_bytes_max) {
    return Reason("the pixel data inside a sequence exceeds the limit for one frame");
  }
  std::vector<std::uint8_t> all;
  ImageFormat format;
  const auto begin = [&](const ImageFormat& decoded, bool) -> Status {
    format = decoded;
    return {};
  };
  const auto put = [&](const std::vector<std::uint8_t>& bytes) -> Status {
    all.insert(all.end(), bytes.begin(), bytes.end());
    return {};
  };
  if (Status done = ForEachFrame(*image, options_.frame_bytes_max, begin, put); !done) return done;
  if (target_.encoding.big_endian && format.bits_allocated > 16) {
    return Reason("pixels of 32 bits have no agreed order of bytes in big endian");
  }
  auto native = std::make_unique<DcmPixelData>(DCM_PixelData);
  OFCondition done;
  if (format.bits_allocated == 8) {
    done = native->putUint8Array(all.data(), all.size());
  } else {
    std::vector<Uint16> words(all.size() / 2);
    std::memcpy(words.data(), all.data(), all.size());
    done = native->putUint16Array(words.data(), words.size());
  }
  WriteImageFormat(item, image->declared, format);
  RemoveEncapsulationAttributes(item);
  if (done.good()) done = item.insert(native.get(), OFTrue);
  if (done.bad()) return Reason(fmt::format("an image inside a sequence cannot be replaced: {}", done.text()));
  (void)native.release();  // the item owns it now
  return {};
}

Status Job::DecodeNested(DcmItem& item, int depth) {
  if (depth > kNestingMax) return Reason(fmt::format("sequences are nested more than {} deep", kNestingMax));
  for (DcmObject* element = item.nextInContainer(nullptr); element != nullptr;
       element = item.nextInContainer(element)) {
    auto* sequence = dynamic_cast<DcmSequenceOfItems*>(element);
    if (sequence == nullptr) continue;
    for (DcmObject* child = sequence->nextInContainer(nullptr); child != nullptr;
         child = sequence->nextInContainer(child)) {
      auto* nested = dynamic_cast<DcmItem*>(child);
      if (nested == nullptr) continue;
      if (Status done = DecodeNested(*nested, depth + 1); !done) return done;
      DcmPixelData* pixels = FindPixelData(*nested);
      DcmPixelSequence* fragments = pixels == nullptr ? nullptr : Encapsulated(*pixels);
      if (fragments == nullptr) continue;
      if (Status done = DecodeInMemory(*nested, *fragments); !done) return done;
    }
  }
  return {};
}

// OW is swapped in words of 16 bits (PS3.5 6.2), but some writers of big endian pixels of 32 bits swap all four
// bytes. A file does not tell which its writer did.
Status Job::CheckByteOrder() const {
  Uint16 bits_allocated = 0;
  (void)dataset_.findAndGetUint16(DCM_BitsAllocated, bits_allocated);
  const bool from_big_endian = syntax_.encoding.big_endian;
  if (bits_allocated > 16 && from_big_endian != target_.encoding.big_endian) {
    return Reason(fmt::format("pixels of {} bits have no agreed order of bytes in big endian", bits_allocated));
  }
  return {};
}

Status Job::Run() {
  if (Status done = DecodeNested(dataset_, 0); !done) return done;
  DcmPixelData* pixels = FindPixelData(dataset_);
  if (pixels == nullptr) return WriteElements(dataset_);
  if (Status done = CheckByteOrder(); !done) return done;
  DcmPixelSequence* fragments = Encapsulated(*pixels);
  if (fragments != nullptr) return WriteDecoded(*fragments);
  if (DcmXfer(dataset_.getOriginalXfer()).isEncapsulated() && pixels->getLength() > 0) {
    return Reason("the pixel data is not encapsulated, although the transfer syntax requires it");
  }
  return WriteElements(dataset_);
}

struct RegularFile {
  UniqueFd fd;
  std::uint64_t size_bytes = 0;
};

tl::expected<RegularFile, std::string> OpenRegularFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe must not block
  struct stat status {};
  if (!fd.valid() || fstat(fd.get(), &status) != 0) {
    return Reason(fmt::format("the file cannot be opened: {}", std::strerror(errno)));
  }
  if (!S_ISREG(status.st_mode)) return Reason("not a regular file");
  return RegularFile{.fd = std::move(fd), .size_bytes = static_cast<std::uint64_t>(status.st_size)};
}

// DCMTK opens the file again for each long value. Through the descriptor, it opens the same file each time, even if
// the name was removed or now belongs to another file.
OFFilename NameOf(const UniqueFd& fd) { return OFFilename(fmt::format("/proc/self/fd/{}", fd.get()).c_str()); }

// Keeps the file open for the values that DCMTK has not read yet.
struct LoadedFile {
  UniqueFd fd;
  std::unique_ptr<DcmFileFormat> content;
  const TransferSyntax* syntax = nullptr;
};

tl::expected<LoadedFile, std::string> Load(const std::string& path, const TranscodeOptions& options) {
  auto source = OpenRegularFile(path);
  if (!source) return Reason(source.error());
  MetaHeader meta;
  FileReader reader(source->fd.get(), source->size_bytes);
  const auto read = ReadMetaHeader(reader, meta);  // DCMTK guesses the encoding if there is no meta header
  const std::string& declared = meta.transfer_syntax_uid;
  if (!declared.empty() && !CanDecode(declared)) {
    return Reason(fmt::format("the transfer syntax {} cannot be decoded", declared));
  }
  LoadedFile file{.fd = std::move(source->fd), .content = std::make_unique<DcmFileFormat>()};
  OFCondition loaded;
  if (IsDeflatedSyntax(declared)) {
    if (!read) return Reason(read.error().reason);
    auto output = OutputFile::Create(options.temporary_directory, options.output_bytes_max);
    if (!output) return Reason(output.error());
    auto inflated = InflateToFile(file.fd.get(), meta.dataset_offset, std::move(*output));
    if (!inflated) return Reason(inflated.error());
    file.fd = std::move(*inflated);
    loaded = file.content->getDataset()->loadFile(NameOf(file.fd), EXS_LittleEndianExplicit);
  } else {
    loaded = file.content->loadFile(NameOf(file.fd));
  }
  if (loaded.bad()) return Reason(fmt::format("the file cannot be read: {}", loaded.text()));
  DcmDataset& dataset = *file.content->getDataset();
  if (dataset.card() == 0) return Reason("the file holds no dataset");
  const char* uid = DcmXfer(dataset.getOriginalXfer()).getXferID();
  file.syntax = FindTransferSyntax(uid);
  if (!CanDecode(uid)) return Reason(fmt::format("the transfer syntax {} cannot be decoded", uid));
  return file;
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): the analyzer loses track of the content in tl::expected

Status PrepareDcmtk() {
  static std::once_flag prepared;
  std::call_once(prepared, [] {
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    RegisterJpegCodecs();
  });
  // Without the dictionary, every element of a dataset in implicit VR would become UN.
  if (!dcmDataDict.isDictionaryLoaded()) return Reason("DCMTK's data dictionary (dicom.dic) is not installed");
  return {};
}

}  // namespace

tl::expected<TranscodedDataset, std::string> Transcode(const std::string& path, std::string_view target_syntax,
                                                       const TranscodeOptions& options) {
  if (!IsUncompressedSyntax(target_syntax)) return Reason(fmt::format("nothing can be encoded in {}", target_syntax));
  if (Status prepared = PrepareDcmtk(); !prepared) return Reason(prepared.error());
  const auto file = Load(path, options);
  if (!file) return Reason(file.error());
  auto output = OutputFile::Create(options.temporary_directory, options.output_bytes_max);
  if (!output) return Reason(output.error());
  const Status done =
      Job(*file->content->getDataset(), *file->syntax, *FindTransferSyntax(target_syntax), options, *output).Run();
  if (!done) return Reason(done.error());
  const std::uint64_t size_bytes = output->size_bytes();
  auto fd = output->Finish();
  if (!fd) return Reason(fd.error());
  // DCMTK gives even lengths to values, except those that it copies from file to file.
  if (size_bytes % 2 == 1) return PadToEvenLengths(fd->get(), 0, size_bytes, target_syntax, options);
  return TranscodedDataset{.fd = std::move(*fd), .size_bytes = size_bytes};
}

}  // namespace dicom_sender
