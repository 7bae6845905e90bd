// Key files, access control, and channels with CURVE over TCP.
#include "transport/security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "client.pb.h"
#include "proto/validate.h"
#include "transport/channel.h"
#include "transport/coordinator_client.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

// Provides a temporary folder and captures the log.
class SecurityTest : public testing::Test {
 protected:
  SecurityTest() {
    std::string pattern = testing::TempDir() + "security_XXXXXX";
    dir_ = mkdtemp(pattern.data());
    std::filesystem::create_directory(Path("clients"));
    logger_ = spdlog::default_logger();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("", sink_));
  }
  ~SecurityTest() override {
    spdlog::set_default_logger(logger_);
    std::filesystem::remove_all(dir_);
  }

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }

  std::string Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    std::ofstream(Path(name)) << text;
    chmod(Path(name).c_str(), mode);
    return Path(name);
  }

  std::string Text(const std::string& file) const {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }

  KeyFiles Make(const std::string& name) const { return MakeKeyFiles(dir_, name).value(); }

  void LetIn(const KeyFiles& files) {
    std::filesystem::copy_file(files.public_file,
                               Path("clients/" + std::filesystem::path(files.public_file).filename().string()));
  }

  std::string dir_;
  std::ostringstream log_;  // read it only after a counter shows that the message was logged
  std::shared_ptr<spdlog::sinks::ostream_sink_mt> sink_ = std::make_shared<spdlog::sinks::ostream_sink_mt>(log_);
  std::shared_ptr<spdlog::logger> logger_;
};

using KeyFilesTest = SecurityTest;

TEST_F(KeyFilesTest, AKeyPairSurvivesARoundTrip) {
  const auto files = Make("worker-1");
  EXPECT_EQ(files.public_file, Path("worker-1.key"));
  EXPECT_EQ(files.secret_file, Path("worker-1.key_secret"));
  struct stat status {};
  ASSERT_EQ(stat(files.secret_file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  const auto pair = ReadKeyPair(files.secret_file);
  ASSERT_TRUE(pair) << pair.error();
  EXPECT_EQ(ReadPublicKey(files.public_file), pair->public_key);
  EXPECT_THAT(Text(files.public_file), Not(HasSubstr(pair->secret_key)));
  EXPECT_NE(ReadKeyPair(Make("worker-2").secret_file)->secret_key, pair->secret_key);
}

TEST_F(KeyFilesTest, NothingIsOverwritten) {
  const auto secret = Write("a.key_secret", "precious");
  EXPECT_THAT(MakeKeyFiles(dir_, "a").error(), HasSubstr("a.key_secret' exists and is not overwritten"));
  EXPECT_EQ(Text(secret), "precious");
  EXPECT_FALSE(std::filesystem::exists(Path("a.key")));

  const auto shared = Write("b.key", "precious");
  EXPECT_THAT(MakeKeyFiles(dir_, "b").error(), HasSubstr("b.key' exists and is not overwritten"));
  EXPECT_EQ(Text(shared), "precious");
  EXPECT_FALSE(std::filesystem::exists(Path("b.key_secret")));
}

TEST_F(KeyFilesTest, InvalidNamesAndFoldersAreErrors) {
  for (const char* name : {"", ".", "..", ".hidden", "a/b", "../a"}) {
    EXPECT_THAT(MakeKeyFiles(dir_, name).error(), HasSubstr("is not a name for a key")) << name;
  }
  EXPECT_THAT(MakeKeyFiles(Path("nowhere"), "a").error(),
              HasSubstr("nowhere/a.key_secret' cannot be created: No such"));
}

TEST_F(KeyFilesTest, TheWrongKindOfKeyIsRefused) {
  const auto files = Make("a");
  EXPECT_THAT(ReadKeyPair(files.public_file).error(), HasSubstr("is a public key file where a secret one is needed"));
  EXPECT_THAT(ReadPublicKey(files.secret_file).error(),
              HasSubstr("is a secret key file where a public one is needed"));
}

TEST_F(KeyFilesTest, ASecretFileAccessibleToOthersIsRefused) {
  const auto file = Make("a").secret_file;
  for (const mode_t mode : {0640, 0604, 0620, 0601}) {
    chmod(file.c_str(), mode);
    EXPECT_THAT(ReadKeyPair(file).error(), HasSubstr("is accessible to users other than its owner: chmod 600 it"))
        << mode;
  }
  chmod(file.c_str(), 0400);
  EXPECT_TRUE(ReadKeyPair(file));
}

TEST_F(KeyFilesTest, DamagedFilesAreErrors) {
  const auto good = Text(Make("a").public_file);
  const auto title = good.substr(0, good.find('\n') + 1);
  const auto key = good.substr(title.size(), 40);
  const struct {
    std::string text;
    const char* error;
  } kCases[] = {
      {"", "is not a key file of dicom-sender"},
      {key + "\n", "is not a key file of dicom-sender"},
      {title, "0 lines follow its first, not 1"},
      {good + key + "\n", "2 lines follow its first, not 1"},
      {title + key.substr(1) + "\n", "a key has 40 characters, not 39"},
      {title + key + "0\n", "a key has 40 characters, not 41"},
      {title + key + "\r\n", "a key has 40 characters, not 41"},
      {title + key.substr(1) + "~\n", "a character in its key does not belong to Z85"},
      {title + key.substr(1) + std::string(1, '\0') + "\n", "a character in its key does not belong to Z85"},
      {title + std::string(40, '#') + "\n", "its key is not a Z85 number"},
      {good + std::string(kKeyFileBytesMax, '\n'), "is longer than 4096 bytes"},
  };
  for (const auto& test : kCases) {
    const auto read = ReadPublicKey(Write("damaged.key", test.text));
    ASSERT_FALSE(read) << test.text;
    EXPECT_THAT(read.error(), HasSubstr(test.error));
    EXPECT_THAT(read.error(), HasSubstr(Path("damaged.key")));
  }
  EXPECT_TRUE(ReadPublicKey(Write("no_newline.key", good.substr(0, good.size() - 1))));
}

TEST_F(KeyFilesTest, ADamagedSecretIsNotQuoted) {
  const auto text = Text(Make("a").secret_file);
  const auto other = Text(Make("b").secret_file);
  const auto mixed = text.substr(0, text.size() - 41) + other.substr(other.size() - 41);
  EXPECT_THAT(ReadKeyPair(Write("mixed.key_secret", mixed)).error(),
              HasSubstr("its two keys do not belong together"));
  const auto cut = text.substr(0, text.size() - 3);
  const auto error = ReadKeyPair(Write("cut.key_secret", cut)).error();
  EXPECT_THAT(error, HasSubstr("a key has 40 characters, not 38"));
  EXPECT_THAT(error, Not(HasSubstr(cut.substr(cut.size() - 20))));
}

TEST_F(KeyFilesTest, NonRegularFilesAreErrors) {
  EXPECT_THAT(ReadPublicKey(Path("none.key")).error(), HasSubstr("none.key' cannot be opened: No such file"));
  EXPECT_THAT(ReadPublicKey(dir_).error(), HasSubstr("is not a regular file"));
  ASSERT_EQ(mkfifo(Path("pipe.key").c_str(), 0600), 0);
  EXPECT_THAT(ReadPublicKey(Path("pipe.key")).error(), HasSubstr("is not a regular file"));
}

TEST_F(KeyFilesTest, SecurityNamesTheUnusableFile) {
  const auto server = Make("server");
  const auto client = Make("client");
  EXPECT_TRUE(ReadServerSecurity(server.secret_file, Path("clients")));
  EXPECT_THAT(ReadServerSecurity(server.public_file, Path("clients")).error(), HasSubstr("server.key' is a public"));
  EXPECT_THAT(ReadServerSecurity(server.secret_file, Path("none")).error(),
              HasSubstr("none' cannot be read as a folder"));
  EXPECT_TRUE(ReadClientSecurity(server.public_file, client.secret_file));
  EXPECT_THAT(ReadClientSecurity(server.secret_file, client.secret_file).error(),
              HasSubstr("server.key_secret' is a"));
  EXPECT_THAT(ReadClientSecurity(server.public_file, client.public_file).error(),
              HasSubstr("client.key' is a public"));
}

using ClientKeysTest = SecurityTest;

TEST_F(ClientKeysTest, TheFolderIsReadAgainAfterASecond) {
  const auto early = Make("early");
  const auto late = Make("late");
  const auto early_key = ReadPublicKey(early.public_file).value();
  const auto late_key = ReadPublicKey(late.public_file).value();
  const ClientKeys::Time start;
  ClientKeys keys(Path("clients"));
  LetIn(early);
  EXPECT_TRUE(keys.Allows(early_key, start));
  EXPECT_FALSE(keys.Allows(late_key, start));
  LetIn(late);
  EXPECT_FALSE(keys.Allows(late_key, start + milliseconds(999)));
  EXPECT_TRUE(keys.Allows(late_key, start + seconds(1)));
  std::filesystem::remove(Path("clients/early.key"));
  EXPECT_TRUE(keys.Allows(early_key, start + milliseconds(1999)));
  EXPECT_FALSE(keys.Allows(early_key, start + seconds(2)));
  EXPECT_TRUE(keys.Allows(late_key, start + seconds(2)));
}

TEST_F(ClientKeysTest, OtherFilesGrantNoAccessAndAreLoggedOnce) {
  const auto good = Make("good");
  LetIn(good);
  const auto secret = ReadKeyPair(Make("other").secret_file).value();
  std::filesystem::rename(Path("other.key_secret"), Path("clients/other.key"));
  Write("clients/README", "not a key");
  const ClientKeys::Time start;
  ClientKeys keys(Path("clients"));
  EXPECT_TRUE(keys.Allows(ReadPublicKey(good.public_file).value(), start));
  EXPECT_FALSE(keys.Allows(secret.public_key, start + seconds(1)));
  const auto line = log_.str().find("other.key' is a secret key file");
  EXPECT_NE(line, std::string::npos) << log_.str();
  EXPECT_EQ(log_.str().find("other.key", line + 10), std::string::npos) << log_.str();
  EXPECT_THAT(log_.str(), Not(HasSubstr("README")));
}

TEST_F(ClientKeysTest, KeepsItsKeysWhileTheFolderCannotBeRead) {
  const auto good = Make("good");
  LetIn(good);
  const auto key = ReadPublicKey(good.public_file).value();
  const ClientKeys::Time start;
  ClientKeys keys(Path("clients"));
  EXPECT_TRUE(keys.Allows(key, start));
  std::filesystem::rename(Path("clients"), Path("away"));
  EXPECT_TRUE(keys.Allows(key, start + seconds(1)));
  EXPECT_THAT(log_.str(), HasSubstr("clients' cannot be read as a folder of keys"));
}

TEST_F(ClientKeysTest, AFolderOfTooManyFilesIsRefused) {
  const auto server = Make("server");
  for (int i = 0; i < kClientKeyFilesMax; ++i) Write("clients/" + std::to_string(i), "");
  EXPECT_TRUE(ReadServerSecurity(server.secret_file, Path("clients")));
  Write("clients/one_more", "");
  EXPECT_THAT(ReadServerSecurity(server.secret_file, Path("clients")).error(), HasSubstr("more than 10000 files"));
}

using RefusalsTest = SecurityTest;

TEST_F(RefusalsTest, EachRefusalIsCountedAndLoggedOncePerMinute) {
  Refusals refusals;
  const Refusals::Time start;
  refusals.Add("a", "first a", start);
  refusals.Add("a", "second a", start + seconds(59));
  refusals.Add("b", "first b", start + seconds(59));
  refusals.Add("a", "third a", start + seconds(60));
  EXPECT_EQ(refusals.count(), 4U);
  EXPECT_THAT(log_.str(), testing::AllOf(HasSubstr("first a"), HasSubstr("first b"), HasSubstr("third a")));
  EXPECT_THAT(log_.str(), Not(HasSubstr("second a")));
}

TEST_F(RefusalsTest, ManyNamesDoNotFillMemoryOrLog) {
  Refusals refusals;
  const Refusals::Time start;
  for (std::size_t i = 0; i < Refusals::kNamesMax; ++i) refusals.Add(std::to_string(i), "known", start);
  refusals.Add("one more", "one more", start);
  EXPECT_EQ(refusals.count(), Refusals::kNamesMax + 1);
  EXPECT_THAT(log_.str(), Not(HasSubstr("one more")));
  refusals.Add("one more", "one more", start + Refusals::kSilence);
  EXPECT_THAT(log_.str(), HasSubstr("one more"));
}

TEST(IsLoopback, IsTrueOnlyForLocalAddresses) {
  for (const char* endpoint : {"tcp://127.0.0.1:5555", "tcp://127.8.9.1:*", "tcp://[::1]:5555",
                               "tcp://localhost:5555", "ipc:///run/x.sock", "inproc://x"}) {
    EXPECT_TRUE(IsLoopback(endpoint)) << endpoint;
  }
  for (const char* endpoint : {"tcp://*:5555",
                               "tcp://0.0.0.0:5555",
                               "tcp://[::]:5555",
                               "tcp://192.168.1.1:5555",
                               "tcp://[fe80::1]:5555",
                               "tcp://128.0.0.1:5555",
                               "tcp://archive:5555",
                               "tcp://localhost.example.org:5555",
                               "tcp://127.0.0.1.example:1",
                               "tcp://127.0.0.1;0.0.0.0:5555",
                               "tcp://lo:5555",
                               "tcp://::1:5555",
                               "tcp://[127.0.0.1]:5555",
                               "tcp://[::1:5555",
                               "tcp://127.0.0.1",
                               "tcp://:5555",
                               "tcp:",
                               "tcp://",
                               "udp://127.0.0.1:5555",
                               "127.0.0.1:5555",
                               ""}) {
    EXPECT_FALSE(IsLoopback(endpoint)) << endpoint;
  }
}

// Channels over TCP on a port that the system chooses.
class SecureChannelTest : public SecurityTest {
 protected:
  static constexpr milliseconds kPatience{10'000};  // only a failing test waits that long
  static constexpr milliseconds kGlance{20};

  ServerSecurity Server() { return ReadServerSecurity(server_.secret_file, Path("clients")).value(); }
  ClientSecurity Client(const KeyFiles& own) {
    return ReadClientSecurity(server_.public_file, own.secret_file).value();
  }

  static bool Eventually(const std::function<bool()>& condition) {
    for (const auto deadline = std::chrono::steady_clock::now() + kPatience;
         std::chrono::steady_clock::now() < deadline;) {
      if (condition()) return true;
    }
    return false;
  }

  static std::optional<PeerMessage> Await(RouterChannel& router) {
    zmq::pollitem_t item{router.socket().handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, kPatience);
    return router.Receive();
  }

  static void ExpectTalk(RouterChannel& router, DealerChannel& dealer) {
    wire::ClientReply message;
    message.set_request_id(42);
    ASSERT_TRUE(dealer.WaitUntilConnected(kPatience));
    ASSERT_TRUE(dealer.Send(message));
    const auto received = Await(router);
    ASSERT_TRUE(received);
    EXPECT_EQ(received->bytes, message.SerializeAsString());
    ASSERT_TRUE(router.Send(received->peer, message));
    zmq::pollitem_t item{dealer.socket().handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, kPatience);
    EXPECT_EQ(dealer.Receive(), message.SerializeAsString());
  }

  // Waits until the refusal was counted, which happens after it was logged.
  void ExpectRefused(RouterChannel& router, DealerChannel& dealer, const Refusals& refusals,
                     const std::string& line) {
    ASSERT_TRUE(Eventually([&] { return dealer.WaitUntilConnected(kGlance) || refusals.count() > 0; }));
    EXPECT_GT(refusals.count(), 0U);
    EXPECT_FALSE(dealer.Send(wire::ClientReply()));
    EXPECT_EQ(router.Receive(), std::nullopt);
    EXPECT_THAT(log_.str(), HasSubstr(line));
  }

  KeyFiles server_ = Make("server");
  zmq::context_t context_;
};

TEST_F(SecureChannelTest, WithoutKeysAnyClientCanConnect) {
  RouterChannel router(context_, "tcp://127.0.0.1:*");
  DealerChannel dealer(context_, {router.endpoint()});
  ExpectTalk(router, dealer);
}

TEST_F(SecureChannelTest, AKnownKeyIsAccepted) {
  const auto own = Make("worker");
  LetIn(own);
  const auto server = Server();
  ZapHandler handler(context_, server);
  RouterChannel router(context_, "tcp://127.0.0.1:*", &server);
  const auto client = Client(own);
  DealerChannel dealer(context_, {router.endpoint()}, &client);
  ExpectTalk(router, dealer);
  EXPECT_EQ(server.refusals->count(), 0U);
  EXPECT_EQ(log_.str(), "");
}

TEST_F(SecureChannelTest, AnUnknownKeyIsRefused) {
  const auto own = Make("stranger");
  const auto server = Server();
  ZapHandler handler(context_, server);
  RouterChannel router(context_, "tcp://127.0.0.1:*", &server);
  const auto client = Client(own);
  DealerChannel dealer(context_, {router.endpoint()}, &client);
  ExpectRefused(
      router, dealer, *server.refusals,
      " with the unknown key " + client.own.public_key + " was refused: put its public key into " + Path("clients"));
  EXPECT_THAT(log_.str(), HasSubstr("a client at 127.0.0.1 with"));
}

TEST_F(SecureChannelTest, AClientWithoutAKeyIsRefused) {
  const auto server = Server();
  ZapHandler handler(context_, server);
  RouterChannel router(context_, "tcp://127.0.0.1:*", &server);
  DealerChannel dealer(context_, {router.endpoint()});
  ExpectRefused(router, dealer, *server.refusals, "a client without a key was refused at " + router.endpoint());
}

TEST_F(SecureChannelTest, AClientWithAnotherServersKeyIsRefused) {
  const auto own = Make("worker");
  LetIn(own);
  const auto server = Server();
  ZapHandler handler(context_, server);
  RouterChannel router(context_, "tcp://127.0.0.1:*", &server);
  const auto client = ReadClientSecurity(Make("another").public_file, own.secret_file).value();
  DealerChannel dealer(context_, {router.endpoint()}, &client);
  ExpectRefused(router, dealer, *server.refusals,
                "a client with another coordinator's key was refused at " + router.endpoint());
}

TEST_F(SecureChannelTest, AClientWithAKeyRefusesAServerWithoutOne) {
  zmq::socket_t events(context_, zmq::socket_type::pair);  // outlives the sockets that write to it
  RouterChannel router(context_, "tcp://127.0.0.1:*");
  const auto client = Client(Make("worker"));
  events.connect("inproc://events");
  ASSERT_EQ(zmq_socket_monitor(router.socket().handle(), "inproc://events", ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL), 0);
  DealerChannel dealer(context_, {router.endpoint()}, &client);
  zmq::pollitem_t item{events.handle(), 0, ZMQ_POLLIN, 0};
  EXPECT_EQ(zmq::poll(&item, 1, kPatience), 1);
  EXPECT_FALSE(dealer.Send(wire::ClientReply()));
  EXPECT_EQ(router.Receive(), std::nullopt);
}

TEST_F(SecureChannelTest, WithoutAHandlerEveryClientIsRefused) {
  const auto own = Make("worker");
  LetIn(own);
  const auto server = Server();
  RouterChannel router(context_, "tcp://127.0.0.1:*", &server);
  // A plain socket, because it must be monitored before it connects.
  const auto client = Client(own);
  zmq::socket_t events(context_, zmq::socket_type::pair);  // outlives the sockets that write to it
  zmq::socket_t dealer(context_, zmq::socket_type::dealer);
  dealer.set(zmq::sockopt::linger, 0);
  dealer.set(zmq::sockopt::immediate, true);
  dealer.set(zmq::sockopt::handshake_ivl, 300);  // the handshake timeout
  dealer.set(zmq::sockopt::curve_serverkey, client.server_key);
  dealer.set(zmq::sockopt::curve_publickey, client.own.public_key);
  dealer.set(zmq::sockopt::curve_secretkey, client.own.secret_key);
  const int failed = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_DISCONNECTED;
  ASSERT_EQ(zmq_socket_monitor(dealer.handle(), "inproc://events", failed), 0);
  events.connect("inproc://events");
  dealer.connect(router.endpoint());
  zmq::pollitem_t item{events.handle(), 0, ZMQ_POLLIN, 0};
  EXPECT_EQ(zmq::poll(&item, 1, kPatience), 1);
  EXPECT_FALSE(dealer.send(zmq::str_buffer("let me in"), zmq::send_flags::dontwait));
  EXPECT_EQ(router.Receive(), std::nullopt);
}

TEST_F(SecureChannelTest, AKeyThatIsAddedLaterIsAccepted) {
  const auto own = Make("late");
  const auto server = Server();
  ZapHandler handler(context_, server);
  RouterChannel router(context_, "tcp://127.0.0.1:*", &server);
  const auto client = Client(own);
  DealerChannel dealer(context_, {router.endpoint()}, &client);
  ExpectRefused(router, dealer, *server.refusals, client.own.public_key);
  LetIn(own);
  // Reconnects with a shorter handshake interval, because the default retry takes 10 s.
  dealer.socket().disconnect(router.endpoint());
  dealer.socket().set(zmq::sockopt::handshake_ivl, 300);
  dealer.socket().connect(router.endpoint());
  ExpectTalk(router, dealer);
}

TEST_F(SecureChannelTest, AClientReconnectsToARestartedRouter) {
  // With a separate context, the port is free as soon as the router is destroyed.
  struct Coordinator {
    Coordinator(const std::string& endpoint, const ServerSecurity& server)
        : handler(context, server), router(context, endpoint, &server) {}
    zmq::context_t context;
    ZapHandler handler;
    RouterChannel router;
  };
  const auto own = Make("worker");
  LetIn(own);
  const auto server = Server();
  const auto client = Client(own);
  std::optional<Coordinator> coordinator(std::in_place, "tcp://127.0.0.1:*", server);
  const auto endpoint = coordinator->router.endpoint();
  DealerChannel dealer(context_, {endpoint}, &client);
  ExpectTalk(coordinator->router, dealer);
  coordinator.reset();
  ASSERT_TRUE(Eventually([&] { return !dealer.WaitUntilConnected(milliseconds(0)); }));
  EXPECT_FALSE(dealer.Send(wire::ClientReply()));
  coordinator.emplace(endpoint, server);
  ExpectTalk(coordinator->router, dealer);
  EXPECT_EQ(server.refusals->count(), 0U);
}

TEST_F(SecureChannelTest, APortInUseIsAnError) {
  const auto server = Server();
  ZapHandler handler(context_, server);
  RouterChannel router(context_, "tcp://127.0.0.1:*", &server);
  EXPECT_THROW(RouterChannel(context_, router.endpoint(), &server), zmq::error_t);
}

TEST_F(SecureChannelTest, WithoutAListenerThereIsNoConnection) {
  std::string endpoint;
  {
    zmq::context_t context;
    endpoint = RouterChannel(context, "tcp://127.0.0.1:*").endpoint();
  }
  DealerChannel dealer(context_, {endpoint});
  EXPECT_FALSE(dealer.WaitUntilConnected(kGlance));
  EXPECT_FALSE(dealer.Send(wire::ClientReply()));
}

TEST_F(SecureChannelTest, ACallDoesNotLoseItsFirstRequestToTheHandshake) {
  const auto own = Make("ctl");
  LetIn(own);
  const auto server = Server();
  const auto security = Client(own);
  ZapHandler handler(context_, server);
  RouterChannel router(context_, "tcp://127.0.0.1:*", &server);
  std::thread coordinator([&] {
    const auto request = Await(router);
    if (!request) return;
    wire::ClientReply reply;
    reply.set_request_id(1);
    reply.mutable_failure()->set_reason("heard");
    router.Send(request->peer, Envelope(reply));
  });
  CoordinatorClient client(context_, {router.endpoint()}, &security);
  // shorter than the time after which an unanswered request is repeated
  const auto reply = client.Call({}, {}, seconds(4));
  coordinator.join();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().reason, "heard");
}

// Sends requests to a handler as libzmq does, and malformed ones.
class ZapHandlerTest : public SecurityTest {
 protected:
  using Frames = std::vector<std::string>;

  ZapHandlerTest() {
    LetIn(own_);
    const auto pair = ReadKeyPair(own_.secret_file).value();
    key_ = pair.public_key;
    credentials_.resize(32);
    zmq_z85_decode(reinterpret_cast<std::uint8_t*>(credentials_.data()), key_.c_str());
    security_ = ServerSecurity{.own = pair, .client_keys_dir = Path("clients")};
    handler_.emplace(context_, security_);
    socket_.connect("inproc://zeromq.zap.01");
  }

  void Ask(const Frames& frames) {
    for (std::size_t i = 0; i < frames.size(); ++i) {
      socket_.send(zmq::buffer(frames[i]), i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
  }

  Frames Reply() {
    Frames frames;
    zmq::pollitem_t item{socket_.handle(), 0, ZMQ_POLLIN, 0};
    if (zmq::poll(&item, 1, seconds(10)) != 1) return frames;
    zmq::message_t frame;
    do {
      if (!socket_.recv(frame)) break;
      frames.push_back(frame.to_string());
    } while (frame.more());
    return frames;
  }

  KeyFiles own_ = Make("own");
  std::string key_;
  std::string credentials_;
  ServerSecurity security_;
  zmq::context_t context_;
  std::optional<ZapHandler> handler_;
  zmq::socket_t socket_{context_, zmq::socket_type::dealer};
};

TEST_F(ZapHandlerTest, FollowsTheZapProtocol) {
  Ask({"", "1.0", "7", "domain", "10.0.0.1", "", "CURVE", credentials_});
  EXPECT_EQ(Reply(), (Frames{"", "1.0", "7", "200", "OK", key_, ""}));
  auto other = credentials_;
  other[31] = static_cast<char>(other[31] ^ 1);
  Ask({"", "1.0", "8", "domain", "10.0.0.1", "", "CURVE", other});
  EXPECT_EQ(Reply(), (Frames{"", "1.0", "8", "300", "unknown key", "", ""}));
  EXPECT_EQ(security_.refusals->count(), 1U);
}

TEST_F(ZapHandlerTest, AcceptsOnlyKeys) {
  const Frames kRequests[] = {
      {"", "2.0", "7", "domain", "10.0.0.1", "", "CURVE", credentials_},
      {"", "1.0", "7", "domain", "10.0.0.1", "", "NULL"},
      {"", "1.0", "7", "domain", "10.0.0.1", "", "NULL", credentials_},
      {"", "1.0", "7", "domain", "10.0.0.1", "", "PLAIN", "user", "password"},
      {"", "1.0", "7", "domain", "10.0.0.1", "", "CURVE"},
      {"", "1.0", "7", "domain", "10.0.0.1", "", "CURVE", ""},
      {"", "1.0", "7", "domain", "10.0.0.1", "", "CURVE", credentials_.substr(1)},
      {"", "1.0", "7", "domain", "10.0.0.1", "", "CURVE", credentials_ + "x"},
      {"", "1.0", "7", "domain", "10.0.0.1", "", "CURVE", credentials_, "more"},
      {"", "1.0", "7"},
  };
  std::uint64_t refused = 0;
  for (const auto& request : kRequests) {
    Ask(request);
    const auto reply = Reply();
    ASSERT_EQ(reply.size(), 7U);
    EXPECT_EQ(reply[3], "300");
    EXPECT_EQ(reply[5], "");
    EXPECT_EQ(security_.refusals->count(), ++refused);
  }
}

TEST_F(ZapHandlerTest, SurvivesAMalformedRequest) {
  for (const Frames& request : {Frames{""}, Frames{"x"}, Frames{"", "1.0"}, Frames(1000, "x")}) Ask(request);
  Ask({"", "1.0", "7", "domain", "10.0.0.1", "", "CURVE", credentials_});
  EXPECT_EQ(Reply(), (Frames{"", "1.0", "7", "200", "OK", key_, ""}));
}

TEST_F(ZapHandlerTest, OnlyOneCanExistPerContext) { EXPECT_THROW(ZapHandler(context_, security_), zmq::error_t); }

}  // namespace
}  // namespace dicom_sender
