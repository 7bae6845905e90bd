#include "session/json.h"

#include <google/protobuf/descriptor.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "common/text.h"
#include "proto/words.h"
#include "session/session_view.h"

namespace dicom_sender {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Json = rapidjson::Writer<rapidjson::StringBuffer>;

void PutText(std::string_view bytes, Json& json) {
  const std::string text = ToValidUtf8(bytes);
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

// DIMSE statuses are written in hexadecimal, as everywhere else: "A700".
bool IsDimseStatus(const FieldDescriptor& field) {
  return field.full_name() == "dicom_sender.wire.FailureList.Entry.status";
}

void PutMessage(const Message& message, Json& json);

// `at`: the index in a repeated field, or -1 if the field is not repeated.
void PutValue(const Message& message, const FieldDescriptor& field, int at, Json& json) {
  const auto& reflection = *message.GetReflection();
  const bool single = at < 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      json.Bool(single ? reflection.GetBool(message, &field) : reflection.GetRepeatedBool(message, &field, at));
      return;
    case FieldDescriptor::CPPTYPE_UINT32:
      if (IsDimseStatus(field)) return PutText(DimseStatusText(reflection.GetUInt32(message, &field)), json);
      json.Uint(single ? reflection.GetUInt32(message, &field) : reflection.GetRepeatedUInt32(message, &field, at));
      return;
    case FieldDescriptor::CPPTYPE_UINT64:
      json.Uint64(single ? reflection.GetUInt64(message, &field) : reflection.GetRepeatedUInt64(message, &field, at));
      return;
    case FieldDescriptor::CPPTYPE_INT64:
      json.Int64(single ? reflection.GetInt64(message, &field) : reflection.GetRepeatedInt64(message, &field, at));
      return;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      json.Double(single ? reflection.GetDouble(message, &field) : reflection.GetRepeatedDouble(message, &field, at));
      return;
    case FieldDescriptor::CPPTYPE_ENUM:
      PutText(
          EnumWord(single ? *reflection.GetEnum(message, &field) : *reflection.GetRepeatedEnum(message, &field, at)),
          json);
      return;
    case FieldDescriptor::CPPTYPE_STRING:
      PutText(single ? reflection.GetString(message, &field) : reflection.GetRepeatedString(message, &field, at),
              json);
      return;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      PutMessage(single ? reflection.GetMessage(message, &field) : reflection.GetRepeatedMessage(message, &field, at),
                 json);
      return;
    default:
      json.Null();  // the protocol has no other types
  }
}

void PutField(const Message& message, const FieldDescriptor& field, Json& json) {
  const auto& reflection = *message.GetReflection();
  json.Key(field.name().c_str());
  if (field.is_repeated()) {
    json.StartArray();
    for (int at = 0; at < reflection.FieldSize(message, &field); ++at) PutValue(message, field, at, json);
    json.EndArray();
  } else if (field.has_presence() && !reflection.HasField(message, &field)) {
    json.Null();
  } else {
    PutValue(message, field, -1, json);
  }
}

void PutMessage(const Message& message, Json& json) {
  json.StartObject();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i)
    PutField(message, *message.GetDescriptor()->field(i), json);
  json.EndObject();
}

}  // namespace

std::string ToJson(const Message& message) {
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  PutMessage(message, json);
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace dicom_sender
