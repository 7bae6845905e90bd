// The coordinator's thread: waits for messages or the next deadline, hands what has come to the Service, sends what
// it returns.
#pragma once

#include <stop_token>
#include <string>
#include <zmq.hpp>

#include "coordinator/service/service.h"
#include "proto/channel.h"

namespace dicom_sender {

struct CoordinatorEndpoints {
  std::string clients;  // ZeroMQ endpoints to bind, e.g. "inproc://clients"
  std::string workers;
};

class CoordinatorLoop {
 public:
  // Binds; throws zmq::error_t if it cannot.
  CoordinatorLoop(zmq::context_t& context, const CoordinatorEndpoints& endpoints, Service& service);

  // Returns soon after a stop was requested. Throws LedgerError.
  void Run(std::stop_token stop);

 private:
  void Collect(RouterChannel& channel, Side side, std::vector<Incoming>& messages);
  void Send(const StepResult& result);

  RouterChannel clients_;
  RouterChannel workers_;
  Service& service_;
};

}  // namespace dicom_sender
