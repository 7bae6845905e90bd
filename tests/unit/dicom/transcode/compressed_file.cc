#include "tests/unit/dicom/transcode/compressed_file.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcrleerg.h>
#include <dcmtk/dcmdata/dcrlerp.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmimage/diregist.h>  // the encoders read color through dcmimage
#include <dcmtk/dcmjpeg/djencode.h>
#include <dcmtk/dcmjpeg/djrplol.h>
#include <dcmtk/dcmjpeg/djrploss.h>
#include <dcmtk/dcmjpls/djencode.h>
#include <dcmtk/dcmjpls/djrparam.h>

#include <memory>
#include <stdexcept>

namespace dicom_sender {
namespace {

std::unique_ptr<DcmRepresentationParameter> EncoderParameter(std::string_view syntax) {
  if (syntax == kJpegBaseline) return std::make_unique<DJ_RPLossy>(90);
  if (syntax == kJpegLossless) return std::make_unique<DJ_RPLossless>();
  if (syntax == kJpegLsLossless) return std::make_unique<DJLSRepresentationParameter>(0, OFTrue);
  if (syntax == kJpegLsLossy) return std::make_unique<DJLSRepresentationParameter>(3, OFFalse);
  if (syntax == kRleLossless) return std::make_unique<DcmRLERepresentationParameter>();
  return nullptr;
}

OFCondition SaveAs(const std::filesystem::path& in, const std::filesystem::path& out, std::string_view uid) {
  const E_TransferSyntax syntax = DcmXfer(std::string(uid).c_str()).getXfer();
  const auto parameter = EncoderParameter(uid);
  DcmFileFormat file;
  OFCondition done = file.loadFile(in.c_str());
  if (done.good()) done = file.getDataset()->chooseRepresentation(syntax, parameter.get());
  if (done.good()) done = file.saveFile(out.c_str(), syntax, EET_UndefinedLength);
  return done;
}

}  // namespace

Compressed::Compressed(const TestImage& image, std::string_view syntax) {
  DJEncoderRegistration::registerCodecs();
  DJLSEncoderRegistration::registerCodecs();
  DcmRLEEncoderRegistration::registerCodecs();
  WriteBytes(folder_ / "native.dcm", NativeFile(image));
  const OFCondition saved = SaveAs(folder_ / "native.dcm", path(), syntax);
  if (saved.bad()) throw std::runtime_error(std::string("DCMTK does not encode this image: ") + saved.text());
}

}  // namespace dicom_sender
