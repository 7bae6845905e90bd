#include "dicom/network/pdu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ByteView Body(const Bytes& pdu) { return ByteView(pdu).subspan(kPduHeaderBytes); }

tl::expected<AssociateAccept, std::string> DecodeAccept(ByteView body) {
  Remarks ignored;
  return DecodeAssociateAccept(body, ignored);
}
std::vector<std::string> IgnoredOf(ByteView body) {
  Remarks ignored;
  EXPECT_TRUE(DecodeAssociateAccept(body, ignored));
  return ignored.all();
}

AssociateRequest SomeRequest() {
  return {"ARCHIVE",
          "RUST_SCU",
          {{1, "1.2.840.10008.5.1.4.1.1.2", {"1.2.840.10008.1.2.1", "1.2.840.10008.1.2"}},
           {3, "1.2.840.10008.1.1", {"1.2.840.10008.1.2"}}},
          {131072, "2.25.1", "TEST_1", AsyncWindow{16, 1}}};
}

AssociateAccept SomeAccept() {
  return {"ARCHIVE",
          "RUST_SCU",
          {{1, ContextResult::kAccepted, "1.2.840.10008.1.2.1"}, {3, ContextResult::kAbstractSyntaxNotSupported, ""}},
          {16384, "2.25.1", "", std::nullopt}};
}

// ---- PS3.8 9.3.2, byte by byte: one context, no implementation version name.
TEST(AssociateRequestTest, HasTheLayoutOfTable9Dash11) {
  const Bytes pdu = EncodeAssociateRequest({"B", "A", {{1, "1.2", {"1.3"}}}, {4096, "2.25", "", AsyncWindow{2, 1}}});
  Bytes expected = {0x01, 0, 0, 0, 0, 143, 0, 1, 0, 0, 'B'};
  expected.insert(expected.end(), 15, ' ');
  expected.push_back('A');
  expected.insert(expected.end(), 15, ' ');
  expected.insert(expected.end(), 32, 0);
  const std::string application = "1.2.840.10008.3.1.1.1";
  expected.insert(expected.end(), {0x10, 0, 0, 21});
  expected.insert(expected.end(), application.begin(), application.end());
  expected.insert(expected.end(),
                  {0x20, 0, 0, 18, 1, 0, 0, 0, 0x30, 0, 0, 3, '1', '.', '2', 0x40, 0, 0, 3, '1', '.', '3'});
  expected.insert(expected.end(), {0x50, 0, 0, 24, 0x51, 0, 0, 4, 0, 0, 0x10, 0, 0x52, 0, 0, 4, '2', '.', '2', '5'});
  expected.insert(expected.end(), {0x53, 0, 0, 4, 0, 2, 0, 1});
  EXPECT_EQ(pdu, expected);
}

TEST(AssociateRequestTest, SurvivesARoundTrip) {
  const auto decoded = DecodeAssociateRequest(Body(EncodeAssociateRequest(SomeRequest())));
  ASSERT_TRUE(decoded) << decoded.error();
  EXPECT_EQ(*decoded, SomeRequest());
}

TEST(AssociateRequestTest, AcceptsAsManyContextsAsThereAreOddIds) {
  AssociateRequest request = SomeRequest();
  request.contexts.clear();
  for (unsigned id = 1; id < 256; id += 2)
    request.contexts.push_back({static_cast<std::uint8_t>(id), "1.2", {"1.3"}});
  const Bytes pdu = EncodeAssociateRequest(request);
  EXPECT_EQ(DecodeAssociateRequest(Body(pdu))->contexts.size(), kContextsMax);
  Bytes one_more(Body(pdu).begin(), Body(pdu).end());
  one_more.insert(one_more.end(),
                  {0x20, 0, 0, 18, 1, 0, 0, 0, 0x30, 0, 0, 3, '1', '.', '2', 0x40, 0, 0, 3, '1', '.', '3'});
  EXPECT_THAT(DecodeAssociateRequest(one_more).error(), HasSubstr("more than 128"));
}

TEST(AssociateRequestTest, RefusesEvenAndRepeatedContextIds) {
  AssociateRequest request = SomeRequest();
  request.contexts[1].id = 2;
  EXPECT_THAT(DecodeAssociateRequest(Body(EncodeAssociateRequest(request))).error(), HasSubstr("is even"));
  request.contexts[1].id = 1;
  EXPECT_THAT(DecodeAssociateRequest(Body(EncodeAssociateRequest(request))).error(), HasSubstr("used twice"));
}

TEST(AssociateRequestTest, RefusesContextsWithoutSyntaxes) {
  AssociateRequest request = SomeRequest();
  request.contexts[0].transfer_syntaxes.clear();
  EXPECT_THAT(DecodeAssociateRequest(Body(EncodeAssociateRequest(request))).error(), HasSubstr("no transfer syntax"));
  request = SomeRequest();
  request.contexts[0].abstract_syntax.clear();
  EXPECT_THAT(DecodeAssociateRequest(Body(EncodeAssociateRequest(request))).error(), HasSubstr("no abstract syntax"));
  request.contexts.clear();
  EXPECT_THAT(DecodeAssociateRequest(Body(EncodeAssociateRequest(request))).error(), HasSubstr("no presentation"));
}

// Truncates the PDU at every byte: each result must be an error or, between two items, the content so far.
template <typename Decode>
void CutEverywhere(const Bytes& pdu, Decode decode, int least_errors) {
  int errors = 0;
  for (std::size_t size = 0; size < Body(pdu).size(); ++size) {
    // This is a copy of the exact size, so that sanitizers detect reads beyond the end.
    const Bytes cut(Body(pdu).begin(), Body(pdu).begin() + static_cast<std::ptrdiff_t>(size));
    if (!decode(cut)) ++errors;
  }
  EXPECT_GE(errors, least_errors);
}

TEST(AssociateRequestTest, ATruncatedRequestIsAnError) {
  const Bytes pdu = EncodeAssociateRequest(SomeRequest());
  // Only cuts at two of the boundaries between items are not errors.
  CutEverywhere(pdu, DecodeAssociateRequest, static_cast<int>(Body(pdu).size()) - 2);
}

TEST(AssociateAcceptTest, ATruncatedAcceptIsAnError) {
  const Bytes pdu = EncodeAssociateAccept(SomeAccept());
  CutEverywhere(pdu, DecodeAccept, static_cast<int>(Body(pdu).size()) - 4);
}

TEST(AssociateAcceptTest, SurvivesARoundTrip) {
  const auto decoded = DecodeAccept(Body(EncodeAssociateAccept(SomeAccept())));
  ASSERT_TRUE(decoded) << decoded.error();
  EXPECT_EQ(*decoded, SomeAccept());
}

TEST(AssociateAcceptTest, RefusesUnknownVersions) {
  Bytes pdu = EncodeAssociateAccept(SomeAccept());
  pdu[7] = 2;
  EXPECT_THAT(DecodeAccept(Body(pdu)).error(), HasSubstr("protocol version"));
}

TEST(AssociateAcceptTest, AnOverlongSyntaxNeverEqualsAValidOne) {
  AssociateAccept accept = SomeAccept();
  accept.contexts[0].transfer_syntax.assign(1000, '1');
  EXPECT_EQ(DecodeAccept(Body(EncodeAssociateAccept(accept)))->contexts[0].transfer_syntax.size(), kKeptUidBytesMax);
}

TEST(AssociateAcceptTest, TrimsTheSyntax) {
  AssociateAccept accept = SomeAccept();
  accept.contexts[0].transfer_syntax = std::string(" 1.2.840.10008.1.2.1 \0", 22);
  EXPECT_EQ(*DecodeAccept(Body(EncodeAssociateAccept(accept))), SomeAccept());
}

// Irrelevant deviations are ignored, and the rest of the answer counts.
TEST(AssociateAcceptTest, IgnoresResultsForUnknownContexts) {
  const struct {
    Bytes item;
    const char* remark;
  } cases[] = {
      {{0x21, 0, 0, 4, 2, 0, 3, 0}, "is even"},
      {{0x21, 0, 0, 4, 1, 0, 3, 0}, "used twice"},
      {{0x21, 0, 0, 4, 3, 0, 0, 0}, "used twice"},
      {{0x21, 0, 0, 2, 1, 0}, "too short"},
      {{0x21, 0, 0, 0}, "too short"},
  };
  for (const auto& c : cases) {
    Bytes pdu = EncodeAssociateAccept(SomeAccept());
    pdu.insert(pdu.end(), c.item.begin(), c.item.end());
    EXPECT_EQ(*DecodeAccept(Body(pdu)), SomeAccept()) << c.remark;
    EXPECT_THAT(IgnoredOf(Body(pdu)), ElementsAre(HasSubstr(c.remark)));
  }
}

TEST(AssociateAcceptTest, IgnoresTheSyntaxOfARefusedContext) {
  Bytes pdu = EncodeAssociateAccept(SomeAccept());
  const Bytes items = {0x21, 0, 0, 4, 5, 0, 3, 0, 0x21, 0, 0, 8, 7, 0, 4, 0, 0x40, 0, 0, 99};
  pdu.insert(pdu.end(), items.begin(), items.end());
  AssociateAccept expected = SomeAccept();
  expected.contexts.push_back({5, ContextResult::kAbstractSyntaxNotSupported, ""});
  expected.contexts.push_back({7, ContextResult::kTransferSyntaxesNotSupported, ""});
  EXPECT_EQ(*DecodeAccept(Body(pdu)), expected);
  EXPECT_TRUE(IgnoredOf(Body(pdu)).empty());
}

TEST(AssociateAcceptTest, TheFirstSyntaxCountsAndAMalformedOneIsIgnored) {
  Bytes pdu = EncodeAssociateAccept(SomeAccept());
  const Bytes items = {0x21, 0, 0,   18,  5,   0,    0, 0, 0x40, 0, 0, 3, '1', '.',  '2', 0x40, 0,
                       0,    3, '1', '.', '3', 0x21, 0, 0, 8,    7, 0, 0, 0,   0x40, 0,   0,    99};
  pdu.insert(pdu.end(), items.begin(), items.end());
  const auto decoded = DecodeAccept(Body(pdu));
  ASSERT_TRUE(decoded) << decoded.error();
  EXPECT_EQ(decoded->contexts[2], (ContextAnswer{5, ContextResult::kAccepted, "1.2"}));
  EXPECT_EQ(decoded->contexts[3], (ContextAnswer{7, ContextResult::kAccepted, ""}));
  EXPECT_THAT(IgnoredOf(Body(pdu)), ElementsAre(HasSubstr("ends inside an item")));
}

TEST(AssociateAcceptTest, OverlongNamesAreTruncated) {
  AssociateAccept accept = SomeAccept();
  accept.user.implementation_class_uid.assign(70, '1');
  Bytes pdu = EncodeAssociateAccept(accept);
  Bytes item = {0x50, 0, 0, 37, 0x55, 0, 0, 33};
  item.insert(item.end(), 33, 'V');
  pdu.insert(pdu.end(), item.begin(), item.end());
  const auto decoded = DecodeAccept(Body(pdu));
  ASSERT_TRUE(decoded) << decoded.error();
  EXPECT_EQ(decoded->user.implementation_class_uid, std::string(kUidBytesMax, '1'));
  EXPECT_EQ(decoded->user.implementation_version, std::string(kVersionNameBytesMax, 'V'));
  EXPECT_THAT(IgnoredOf(Body(pdu)),
              ElementsAre(HasSubstr("class UID of more than 64"), HasSubstr("name of more than 16")));
  std::fill(pdu.end() - 32, pdu.end() - 1, ' ');
  EXPECT_EQ(DecodeAccept(Body(pdu))->user.implementation_version, "V") << "trimmed after it was cut";
}

TEST(AssociateAcceptTest, SkipsUnknownItems) {
  Bytes pdu = EncodeAssociateAccept(SomeAccept());
  pdu.insert(pdu.end(), {0x77, 0, 0, 1, 9});
  EXPECT_EQ(*DecodeAccept(Body(pdu)), SomeAccept());
  pdu.insert(pdu.end(), {0x50, 0, 0, 7, 0x54, 0, 0, 3, 0, 1, 'x'});  // role selection
  EXPECT_EQ(*DecodeAccept(Body(pdu)), SomeAccept());
}

TEST(AssociateAcceptTest, UserItemsOfAWrongLengthCountAsAbsent) {
  for (const int type : {0x51, 0x53}) {
    for (const std::size_t length : {0U, 2U, 3U, 8U}) {
      const AssociateAccept accept{"A", "B", {}, {0, "", "", std::nullopt}};
      Bytes pdu = EncodeAssociateAccept(accept);
      pdu.resize(pdu.size() - 16);  // removes its user information
      const auto size = static_cast<std::uint8_t>(length);
      pdu.insert(pdu.end(),
                 {0x50, 0, 0, static_cast<std::uint8_t>(4 + size), static_cast<std::uint8_t>(type), 0, 0, size});
      pdu.insert(pdu.end(), length, 1);
      EXPECT_EQ(*DecodeAccept(Body(pdu)), accept) << type << " " << length;
      EXPECT_THAT(IgnoredOf(Body(pdu)), ElementsAre(HasSubstr("not 4 bytes"))) << type << " " << length;
    }
  }
}

TEST(AssociateAcceptTest, TheFirstOfRepeatedUserItemsCounts) {
  AssociateAccept accept = SomeAccept();
  accept.user.async_window = AsyncWindow{1, 1};
  Bytes pdu = EncodeAssociateAccept(accept);
  pdu.insert(pdu.end(), {0x50, 0, 0, 16, 0x51, 0, 0, 4, 0, 0, 1, 0, 0x53, 0, 0, 4, 0, 16, 0, 1});
  EXPECT_EQ(*DecodeAccept(Body(pdu)), accept);
  EXPECT_THAT(IgnoredOf(Body(pdu)), ElementsAre(HasSubstr("repeated")));
}

TEST(AssociateRequestTest, RefusesItemsThatWouldBeIgnored) {
  AssociateRequest request = SomeRequest();
  request.user.implementation_class_uid.assign(65, '1');
  EXPECT_THAT(DecodeAssociateRequest(Body(EncodeAssociateRequest(request))).error(), HasSubstr("class UID"));
}

TEST(PduHeaderTest, ChecksTypeAndLength) {
  struct Case {
    std::uint8_t type;
    std::uint32_t length;
    bool good;
  };
  const Case cases[] = {{1, 68, true},
                        {1, 67, false},
                        {1, kAssociatePduBytesMax, true},
                        {2, 68, true},
                        {2, kAssociatePduBytesMax + 1, false},
                        {3, 4, true},
                        {3, 3, false},
                        {3, 5, false},
                        {4, 6, true},
                        {4, 5, false},
                        {4, kDataPduBytesMax, true},
                        {4, kDataPduBytesMax + 1, false},
                        {5, 4, true},
                        {5, 0, false},
                        {6, 4, true},
                        {6, 8, false},
                        {7, 4, true},
                        {7, 0xFFFFFFFF, false},
                        {0, 4, false},
                        {8, 4, false},
                        {'H', 4, false}};
  for (const Case& c : cases) {
    const Bytes header = {c.type,
                          0,
                          static_cast<std::uint8_t>(c.length >> 24),
                          static_cast<std::uint8_t>(c.length >> 16),
                          static_cast<std::uint8_t>(c.length >> 8),
                          static_cast<std::uint8_t>(c.length)};
    const auto decoded = DecodePduHeader(header);
    EXPECT_EQ(decoded.has_value(), c.good) << int{c.type} << " " << c.length;
    EXPECT_EQ(decoded.value_or(PduHeader{PduType::kAbort, c.length}).length_bytes, c.length);
  }
}

TEST(DataPduTest, HeaderHasTheLayoutOfTable9Dash23) {
  const DataHeader header = EncodeDataHeader(5, true, true, 0x01020304);
  EXPECT_EQ(header, (DataHeader{4, 0, 1, 2, 3, 10, 1, 2, 3, 6, 5, 3}));
  EXPECT_EQ(EncodeDataHeader(5, false, false, 0)[11], 0);
  EXPECT_EQ(EncodeDataHeader(5, false, true, 0)[11], 2);
}

TEST(DataPduTest, ReadsPdvsOneByOne) {
  const Bytes body = {0, 0, 0, 4, 7, 3, 'a', 'b', 0, 0, 0, 2, 9, 0};
  ByteView rest = body;
  const auto first = TakePdv(rest);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->context_id, 7);
  EXPECT_TRUE(first->is_command && first->is_last);
  EXPECT_EQ(Bytes(first->data.begin(), first->data.end()), (Bytes{'a', 'b'}));
  const auto second = TakePdv(rest);
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->is_command || second->is_last);
  EXPECT_TRUE(second->data.empty() && rest.empty());
}

TEST(DataPduTest, RefusesWrongLengths) {
  for (const Bytes& body : {Bytes{}, Bytes{0, 0, 0, 2, 1}, Bytes{0, 0, 0, 1, 1, 0}, Bytes{0, 0, 0, 3, 1, 0},
                            Bytes{0xFF, 0xFF, 0xFF, 0xFF, 1, 0}}) {
    ByteView rest = body;
    EXPECT_FALSE(TakePdv(rest)) << body.size();
  }
}

TEST(ShortPduTest, SurviveARoundTrip) {
  EXPECT_EQ(EncodeAssociateReject({1, 2, 3}), (Bytes{3, 0, 0, 0, 0, 4, 0, 1, 2, 3}));
  EXPECT_EQ(EncodeReleaseRequest(), (Bytes{5, 0, 0, 0, 0, 4, 0, 0, 0, 0}));
  EXPECT_EQ(EncodeReleaseResponse(), (Bytes{6, 0, 0, 0, 0, 4, 0, 0, 0, 0}));
  EXPECT_EQ(EncodeAbort({2, 6}), (Bytes{7, 0, 0, 0, 0, 4, 0, 0, 2, 6}));
  EXPECT_EQ(*DecodeAssociateReject(Bytes{0, 1, 2, 3}), (AssociateReject{1, 2, 3}));
  EXPECT_EQ(*DecodeAbort(Bytes{0, 0, 2, 6}), (AbortPdu{2, 6}));
  EXPECT_FALSE(DecodeAssociateReject(Bytes{0, 1, 2}));
  EXPECT_FALSE(DecodeAbort(Bytes{0, 0, 2, 6, 0}));
}

TEST(DescribeTest, RejectionsFollowTable9Dash21) {
  const std::pair<AssociateReject, const char*> table[] = {
      {{1, 1, 1}, "rejected: no reason given (permanent, by the service user)"},
      {{1, 1, 2}, "rejected: application context name not supported (permanent, by the service user)"},
      {{1, 1, 3}, "rejected: calling AE title not recognized (permanent, by the service user)"},
      {{1, 1, 7}, "rejected: called AE title not recognized (permanent, by the service user)"},
      {{1, 2, 1}, "rejected: no reason given (permanent, by the service provider (ACSE))"},
      {{1, 2, 2}, "rejected: protocol version not supported (permanent, by the service provider (ACSE))"},
      {{2, 3, 1}, "rejected: temporary congestion (transient, by the service provider (presentation))"},
      {{2, 3, 2}, "rejected: local limit exceeded (transient, by the service provider (presentation))"},
      {{1, 1, 4}, "rejected: unknown reason 4 (permanent, by the service user)"},  // reserved
      {{9, 8, 7}, "rejected: unknown reason 7 (unknown result 9, by an unknown source)"},
  };
  for (const auto& [reject, text] : table) EXPECT_EQ(DescribeReject(reject), text);
}

TEST(DescribeTest, AbortsFollowTable9Dash26) {
  EXPECT_EQ(DescribeAbort({0, 5}), "no reason (by the service user)");
  const char* reasons[] = {"reason not specified",       "unrecognized PDU",           "unexpected PDU",
                           "unknown reason 3",           "unrecognized PDU parameter", "unexpected PDU parameter",
                           "invalid PDU parameter value"};
  for (std::uint8_t i = 0; i < 7; ++i) {
    EXPECT_EQ(DescribeAbort({2, i}), std::string(reasons[i]) + " (by the service provider)");
  }
}

TEST(DescribeTest, ExternalTextIsMadePrintable) { EXPECT_EQ(PrintableText("a\n\x1b[\xff~ "), "a??[?~ "); }

}  // namespace
}  // namespace dicom_sender
