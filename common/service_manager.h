// Notifies the service manager that started the program (systemd: Type=notify, WatchdogSec=) when the program is
// ready, healthy, or stopping. Implements the protocol of sd_notify(3) and sd_watchdog_enabled(3).
#pragma once

#include <atomic>
#include <stop_token>
#include <string>
#include <thread>

#include "common/http_server.h"
#include "common/time.h"
#include "common/wake_event.h"

namespace dicom_sender {

// Create one when the program is about to serve, and keep it until the program ends. Without $NOTIFY_SOCKET, it
// starts no thread and sends nothing. A message that cannot be sent is logged as a warning. A manager that does not
// read its socket blocks Ready() and the destructor. Thread-safe.
//
//   READY=1, STATUS=   sent by Ready()
//   WATCHDOG=1         sent at half of the interval $WATCHDOG_USEC (in microseconds), while `health` reports no
//   problem,
//                      also while the program stops; never if the variable is unset or $WATCHDOG_PID names another
//                      process. A problem is logged once. The manager kills a program that is silent for the interval
//   STOPPING=1         sent when `stop` is requested, or by the destructor
class ServiceManager {
 public:
  // A thread of this object calls `health`; nullptr means always healthy. It must not throw, and it and everything
  // that it uses must outlive the object.
  ServiceManager(HttpCheck health, std::stop_token stop);
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // Tells the manager that the program is ready. `systemctl status` shows `status`, which is a few words.
  void Ready(const std::string& status) const;

 private:
  void Run();
  void PingIfWell();
  int MillisecondsToPing() const;

  const HttpCheck health_;
  const std::stop_token stop_;
  const bool listened_to_;
  const Duration ping_every_;  // zero: never
  TimePoint next_ping_ = MonotonicNow();
  bool well_ = true;
  std::atomic<bool> ended_ = false;
  WakeEvent wake_;
  std::thread thread_;  // not running without $NOTIFY_SOCKET
};

}  // namespace dicom_sender
