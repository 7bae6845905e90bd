// Checks docs/conformance.md: compares its tables with the code and with the bytes on the network.
#include <arpa/inet.h>
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcxfer.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <thread>
#include <utility>

#include "common/unique_fd.h"
#include "dicom/byte_order.h"
#include "dicom/dimse_status.h"
#include "dicom/network/dimse.h"
#include "dicom/network/tcp_association.h"
#include "dicom/network/verification.h"
#include "dicom/transcode/transcoder.h"
#include "dicom/uid_names.h"
#include "session/session_options.h"
#include "session/session_settings.h"
#include "worker/association/association_request.h"
#include "worker/association/context_plan.h"

namespace dicom_sender {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

using Row = std::vector<std::string>;
using Table = std::vector<Row>;  // without the column names

std::string Trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

Row CellsOf(const std::string& line) {
  Row cells;
  for (std::size_t from = 1, to = 0; (to = line.find('|', from)) != std::string::npos; from = to + 1) {
    cells.push_back(Trimmed(line.substr(from, to - from)));
  }
  return cells;
}

// Returns the tables under each heading, in their order.
std::map<std::string, std::vector<Table>> ReadTables(const std::string& path) {
  std::map<std::string, std::vector<Table>> tables;
  std::string heading;
  bool in_table = false;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) heading = line.substr(line.find(' ') + 1);
    if (!line.starts_with('|')) {
      in_table = false;
    } else if (!std::exchange(in_table, true)) {
      tables[heading].emplace_back();
    } else if (!line.starts_with("|---")) {
      tables[heading].back().push_back(CellsOf(line));
    }
  }
  return tables;
}

// Returns the text between backquotes in a cell.
std::vector<std::string> Quoted(const std::string& cell) {
  std::vector<std::string> values;
  for (std::size_t from = 0; (from = cell.find('`', from)) != std::string::npos;) {
    const std::size_t to = cell.find('`', from + 1);
    if (to == std::string::npos) break;
    values.push_back(cell.substr(from + 1, to - from - 1));
    from = to + 1;
  }
  return values;
}

class ConformanceTest : public ::testing::Test {
 protected:
  Table TableOf(const std::string& heading, std::size_t which = 0) const {
    const auto found = tables_.find(heading);
    if (found == tables_.end() || found->second.size() <= which) {
      ADD_FAILURE() << "no table " << which << " under the heading '" << heading << "'";
      return {};
    }
    return found->second[which];
  }

 private:
  const std::map<std::string, std::vector<Table>> tables_ = ReadTables(CONFORMANCE_DOCUMENT);
};

// --- bytes on the network

// Returns the first PDU that an association sends to a destination, which then closes the connection.
Bytes ReadFirstPdu(const UniqueFd& listener) {
  const auto wait = [](int fd) {
    pollfd polled{fd, POLLIN, 0};
    return poll(&polled, 1, 10'000) == 1;
  };
  if (!wait(listener.get())) return {};
  const UniqueFd connection(accept(listener.get(), nullptr, nullptr));
  Bytes pdu;
  std::size_t expected = kPduHeaderBytes;
  while (pdu.size() < expected && wait(connection.get())) {
    Bytes part(expected - pdu.size());
    const ssize_t got = recv(connection.get(), part.data(), part.size(), 0);
    if (got <= 0) break;
    pdu.insert(pdu.end(), part.begin(), part.begin() + got);
    if (pdu.size() == kPduHeaderBytes) expected += DecodePduHeader(pdu)->length_bytes;
  }
  return pdu;
}

// Returns the A-ASSOCIATE-RQ without its PDU header.
Bytes BodyOf(AssociationRequest request) {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener.get(), 1) != 0 ||
      getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    ADD_FAILURE() << "cannot listen";
    return {};
  }
  request.host = "127.0.0.1";
  request.port = ntohs(address.sin_port);
  Bytes pdu;
  std::thread destination([&] { pdu = ReadFirstPdu(listener); });
  SendingProgress progress;
  EXPECT_FALSE(RequestAssociation(request, progress, nullptr, {})) << "the destination hangs up";
  destination.join();
  if (pdu.size() < kPduHeaderBytes) {
    ADD_FAILURE() << "no A-ASSOCIATE-RQ was sent";
    return {};
  }
  return {pdu.begin() + kPduHeaderBytes, pdu.end()};
}

// Returns the request of a session with the default options.
AssociationRequest DefaultRequest() {
  SessionOptions options;
  options.called_ae = "ARCHIVE";
  options.calling_ae = kDefaultCallingAe;
  options.host = "127.0.0.1";
  options.port = 104;
  const wire::OpenSession session = NewSessionSettings(options, "");
  return RequestFor(session.destination(), session.send_options(), {{1, "1.2.3", {"1.2.840.10008.1.2"}}});
}

struct UserItem {
  std::string type;  // "51H"
  ByteView value;
};

// Returns the sub-items of the user information item, which is the last item of the PDU (PS3.8 annex D.1).
std::vector<UserItem> UserItemsOf(ByteView body) {
  constexpr std::size_t kFixedBytes = 68, kItemHeaderBytes = 4;
  std::vector<UserItem> items;
  ByteView rest = body.subspan(std::min(kFixedBytes, body.size()));
  while (rest.size() >= kItemHeaderBytes) {
    const std::uint8_t type = rest[0];
    if (type == 0x50) {  // the sub-items follow
      rest = rest.subspan(kItemHeaderBytes);
      continue;
    }
    const std::size_t length = GetU16Big(rest.subspan(2));
    if (length > rest.size() - kItemHeaderBytes) break;
    if (type > 0x50) items.push_back({fmt::format("{:02X}H", type), rest.subspan(kItemHeaderBytes, length)});
    rest = rest.subspan(kItemHeaderBytes + length);
  }
  return items;
}

// Returns the values as the table formats them.
std::vector<std::string> ValuesOf(const UserItem& item) {
  if (item.type == "51H") return {std::to_string(GetU32Big(item.value))};
  if (item.type == "53H") {
    return {std::to_string(GetU16Big(item.value)), std::to_string(GetU16Big(item.value.subspan(2)))};
  }
  return {std::string(item.value.begin(), item.value.end())};
}

TEST_F(ConformanceTest, UserInformationMatchesTheAssociateRequest) {
  const Bytes body = BodyOf(DefaultRequest());
  const auto items = UserItemsOf(body);
  const Table table = TableOf("General");
  ASSERT_THAT(table, SizeIs(items.size()));
  for (std::size_t i = 0; i < items.size(); ++i) {
    EXPECT_THAT(Quoted(table[i].at(0)), ElementsAre(items[i].type));
    auto documented = Quoted(table[i].at(2));
    std::erase_if(documented, [](const std::string& value) { return value.starts_with("--"); });
    EXPECT_EQ(documented, ValuesOf(items[i])) << items[i].type;
  }
}

TEST_F(ConformanceTest, ImplementationMatchesTheAssociateRequest) {
  const auto request = DecodeAssociateRequest(BodyOf(DefaultRequest()));
  ASSERT_TRUE(request) << request.error();
  const Table table = TableOf("Implementation identifying information");
  ASSERT_THAT(table, SizeIs(2));
  EXPECT_EQ(table[0], (Row{"Implementation Class UID", "`" + request->user.implementation_class_uid + "`"}));
  EXPECT_EQ(table[1], (Row{"Implementation Version Name", "`" + request->user.implementation_version + "`"}));
}

// --- SOP classes and presentation contexts

Table AsTable(const std::vector<ProposedContext>& contexts) {
  Table table;
  for (const ProposedContext& context : contexts) {
    std::string syntaxes;
    for (const std::string& syntax : context.transfer_syntaxes) {
      syntaxes += fmt::format("{}`{}`", syntaxes.empty() ? "" : ", ", syntax);
    }
    table.push_back({std::to_string(context.id), "`" + context.abstract_syntax + "`", syntaxes});
  }
  return table;
}

// Returns the request for a C-ECHO.
AssociationRequest EchoRequest() {
  AssociationRequest asked;
  Verify(
      [&asked](const AssociationRequest& request) -> tl::expected<std::unique_ptr<Association>, AssociationFailure> {
        asked = request;
        return tl::unexpected(AssociationFailure{});
      },
      DefaultRequest());
  return asked;
}

TEST_F(ConformanceTest, NetworkServicesAreThoseOfAnScu) {
  const Table table = TableOf("Network services");
  ASSERT_THAT(table, SizeIs(2)) << "Verification, and the SOP classes of the files";
  EXPECT_THAT(Quoted(table[0].at(1)), ElementsAre(std::string(kVerificationSopClass)));
  for (const Row& row : table) {
    EXPECT_EQ(row.at(2), "yes") << row.at(0);
    EXPECT_EQ(row.at(3), "no") << row.at(0);
  }
  // Without role selection (54H), the requestor is only an SCU.
  const Bytes body = BodyOf(DefaultRequest());
  for (const UserItem& item : UserItemsOf(body)) EXPECT_NE(item.type, "54H");
  EXPECT_EQ(EchoRequest().async_window, 1) << "no window for a C-ECHO";
}

TEST_F(ConformanceTest, PresentationContextsMatchThePlan) {
  const std::string ct = "1.2.840.10008.5.1.4.1.1.2", jpeg_2000 = "1.2.840.10008.1.2.4.90";
  const ContextPlan plan({{ct, jpeg_2000}, {ct, std::string(kExplicitVrLittleEndian)}});
  ASSERT_THAT(plan.associations(), SizeIs(1));
  EXPECT_EQ(TableOf("Proposed presentation contexts", 1), AsTable(plan.associations()[0]));
  EXPECT_EQ(TableOf("Proposed presentation contexts", 2), AsTable(EchoRequest().contexts));

  const ContextPlan compressed({{ct, jpeg_2000}});
  ASSERT_THAT(compressed.associations().at(0), SizeIs(2));
  std::vector<std::string> fallback;
  for (const Row& row : TableOf("Proposed presentation contexts", 0)) fallback.push_back(Quoted(row.at(1)).at(0));
  EXPECT_EQ(fallback, compressed.associations()[0][1].transfer_syntaxes);
}

TEST_F(ConformanceTest, DecodableTransferSyntaxesMatchTheTranscoder) {
  std::map<std::string, std::string> decodable;  // names by UID
  const auto add = [&decodable](const std::string& uid) {
    if (CanDecode(uid)) decodable[uid] = NameOfUid(uid);
  };
  for (int i = 0; i < 250; ++i) {
    for (const char* form : {"1.2.840.10008.1.2.{}", "1.2.840.10008.1.2.1.{}", "1.2.840.10008.1.2.4.{}"}) {
      add(fmt::format(fmt::runtime(form), i));
    }
  }
  add("1.2.840.10008.1.2");
  for (int i = EXS_Unknown + 1; DcmXfer(static_cast<E_TransferSyntax>(i)).getXfer() != EXS_Unknown; ++i) {
    add(DcmXfer(static_cast<E_TransferSyntax>(i)).getXferID());
  }
  std::map<std::string, std::string> documented;
  for (const Row& row : TableOf("Transfer syntaxes that can be decoded")) {
    documented[Quoted(row.at(1)).at(0)] = row.at(0);
  }
  EXPECT_EQ(documented, decodable);
}

// --- statuses

struct StatusRow {
  unsigned first = 0, last = 0;
  std::string meaning, behavior;
};

std::vector<StatusRow> StatusRows(const Table& table) {
  std::vector<StatusRow> rows;
  for (const Row& row : table) {
    const auto ends = Quoted(row.at(0));
    rows.push_back({static_cast<unsigned>(std::stoul(ends.front(), nullptr, 16)),
                    static_cast<unsigned>(std::stoul(ends.back(), nullptr, 16)), row.at(1), row.at(2)});
  }
  return rows;
}

std::string BehaviorOf(StatusVerdict verdict) {
  switch (verdict) {
    case StatusVerdict::kStored:
      return "stored";
    case StatusVerdict::kStoredWithWarning:
      return "stored with a warning";
    case StatusVerdict::kRetry:
      return "retried";
    case StatusVerdict::kRetrySlower:
      return "retried more slowly";
    case StatusVerdict::kFailed:
      return "failed";
    case StatusVerdict::kRefused:
      return "refused";
  }
  return "unknown";
}

TEST_F(ConformanceTest, EveryStoreStatusIsHandledAsDocumented) {
  const auto rows = StatusRows(TableOf("Handling of C-STORE response statuses"));
  std::vector<std::size_t> used(rows.size());
  for (unsigned status = 0; status <= 0xFFFF; ++status) {
    const auto row = std::ranges::find_if(
        rows, [status](const StatusRow& one) { return one.first <= status && status <= one.last; });
    ASSERT_NE(row, rows.end()) << fmt::format("no row has {:04X}", status);
    ++used[static_cast<std::size_t>(row - rows.begin())];
    const auto code = static_cast<std::uint16_t>(status);
    ASSERT_EQ(fmt::format("{:04X} ({})", status, row->meaning), DescribeStatus(code));
    ASSERT_EQ(row->behavior, BehaviorOf(JudgeStoreStatus(code))) << fmt::format("{:04X}", status);
  }
  ASSERT_THAT(rows, SizeIs(StatusMeanings().size()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].first, StatusMeanings()[i].first);
    EXPECT_EQ(rows[i].last, StatusMeanings()[i].last);
    EXPECT_GT(used[i], 0U) << fmt::format("{:04X} is hidden by the rows before it", rows[i].first);
  }
}

TEST_F(ConformanceTest, EveryBehaviorIsExplained) {
  std::vector<std::string> explained, expected;
  for (const Row& row : TableOf("Handling of C-STORE response statuses", 1)) explained.push_back(row.at(0));
  for (const auto verdict : {StatusVerdict::kStored, StatusVerdict::kStoredWithWarning, StatusVerdict::kRetry,
                             StatusVerdict::kRetrySlower, StatusVerdict::kFailed, StatusVerdict::kRefused}) {
    expected.push_back(BehaviorOf(verdict));
  }
  EXPECT_EQ(explained, expected);
}

// A destination that accepts the Verification SOP class and answers a C-ECHO with a status.
class EchoAssociation final : public Association {
 public:
  explicit EchoAssociation(std::uint16_t status) : status_(status) {}
  const std::vector<ContextAnswer>& contexts() const override { return contexts_; }
  std::uint32_t peer_max_pdu_bytes() const override { return 0; }
  std::uint16_t window() const override { return 1; }
  tl::expected<std::uint16_t, StoreFailure> Send(const StoreRequest&) override {
    return tl::unexpected(StoreFailure{});
  }
  void Flush() override {}
  std::vector<std::uint16_t> Unsend() override { return {}; }
  tl::expected<StoreResponse, StoreFailure> Receive() override { return tl::unexpected(StoreFailure{}); }
  tl::expected<std::uint16_t, StoreFailure> Echo(std::uint8_t) override { return status_; }
  void Release() override {}
  void Abort() override {}

 private:
  const std::uint16_t status_;
  const std::vector<ContextAnswer> contexts_ = {{1, ContextResult::kAccepted, std::string(kExplicitVrLittleEndian)}};
};

TEST_F(ConformanceTest, OnlyTheDocumentedEchoStatusIsSuccess) {
  const Table table = TableOf("SOP specific conformance: Verification");
  ASSERT_THAT(table, SizeIs(2));
  ASSERT_THAT(Quoted(table[0].at(0)), SizeIs(1));
  const unsigned long success = std::stoul(Quoted(table[0].at(0))[0], nullptr, 16);
  EXPECT_EQ(table[1].at(0), "any other");
  for (unsigned status = 0; status <= 0xFFFF; ++status) {
    const auto echo =
        [status](const AssociationRequest&) -> tl::expected<std::unique_ptr<Association>, AssociationFailure> {
      return std::make_unique<EchoAssociation>(static_cast<std::uint16_t>(status));
    };
    const Verification verification = Verify(echo, DefaultRequest());
    ASSERT_TRUE(verification.answered);
    ASSERT_EQ(verification.failure.empty(), status == success) << fmt::format("{:04X}", status);
  }
}

// --- configuration

const ProgramOption* FindOption(const OptionGroup& group, const std::string& name) {
  const auto found = std::ranges::find_if(group.options, [&](const ProgramOption& o) { return o.name == name; });
  return found == group.options.end() ? nullptr : &*found;
}

// Returns all values that the options of the table set.
std::string ValuesOf(const SessionOptions& options) {
  return fmt::format(
      "max-pdu {}, async-window {}, max-requests-per-association {}, max-attempts {}, connect {}, "
      "acse {}, dimse {}, idle {}",
      options.max_pdu_bytes, options.async_window, options.requests_per_association_max, options.attempts_max,
      options.connect_timeout.count(), options.acse_timeout.count(), options.dimse_timeout.count(),
      options.idle_timeout.count());
}

// Returns a size in bytes, a time in seconds, or a plain number.
std::int64_t Plain(const std::string& text) {
  if (const auto time = ParseTime(text, std::chrono::seconds(0), std::chrono::hours(24)); time) return time->count();
  if (const auto size = ParseSize(text, 0, std::uint64_t{1} << 40); size) return static_cast<std::int64_t>(*size);
  return std::stoll(text);
}

TEST_F(ConformanceTest, ConfigurationHasTheOptionsRangesAndDefaults) {
  const Table table = TableOf("Configuration");
  EXPECT_THAT(table, SizeIs(8));
  for (const Row& row : table) {
    SCOPED_TRACE(row.at(1));
    SessionOptions options;
    const OptionGroup group = SendingOptions(options);
    const ProgramOption* option = FindOption(group, Quoted(row.at(1)).at(0).substr(2));
    ASSERT_NE(option, nullptr);
    const std::string &least = row.at(2), &most = row.at(3);
    EXPECT_TRUE(option->set(least)) << least;
    const std::string with_least = ValuesOf(options);
    EXPECT_TRUE(option->set(most)) << most;
    ASSERT_NE(ValuesOf(options), with_least) << "the option sets nothing that is compared";
    if (Plain(least) > 0) {
      EXPECT_FALSE(option->set(std::to_string(Plain(least) - 1))) << "least";
    }
    EXPECT_FALSE(option->set(std::to_string(Plain(most) + 1))) << "most";
    EXPECT_TRUE(option->set(row.at(4)));
    EXPECT_EQ(ValuesOf(options), ValuesOf(SessionOptions())) << "default";
  }
}

TEST_F(ConformanceTest, DefaultsMatchAnAssociation) {
  const AssociationRequest asked = DefaultRequest(), expected;
  EXPECT_EQ(asked.max_pdu_bytes, expected.max_pdu_bytes);
  EXPECT_EQ(asked.timeouts.connect, expected.timeouts.connect);
  EXPECT_EQ(asked.timeouts.acse, expected.timeouts.acse);
  EXPECT_EQ(asked.timeouts.dimse, expected.timeouts.dimse);
  EXPECT_EQ(asked.timeouts.idle, expected.timeouts.idle);
}

TEST_F(ConformanceTest, PduSizesMatchTheOption) {
  const Table table = TableOf("PDU sizes");
  ASSERT_THAT(table, SizeIs(3));
  const auto bytes = [&table](std::size_t row) { return std::stoul(Quoted(table[row].at(1)).at(0)); };
  EXPECT_EQ(bytes(0), DefaultRequest().max_pdu_bytes);
  for (const Row& row : TableOf("Configuration")) {
    if (Quoted(row.at(1)).at(0) != "--max-pdu") continue;
    EXPECT_EQ(bytes(1), static_cast<unsigned long>(Plain(row.at(2))));
    EXPECT_EQ(bytes(2), static_cast<unsigned long>(Plain(row.at(3))));
  }
}

}  // namespace
}  // namespace dicom_sender
