// What a program tells the service manager that started it (systemd: Type=notify, WatchdogSec=): that it serves, that
// it is well, that it ends. The protocol is that of sd_notify(3), sd_watchdog_enabled(3).
#pragma once

#include <atomic>
#include <stop_token>
#include <string>
#include <thread>

#include "common/http_server.h"
#include "common/time.h"
#include "common/wake_event.h"

namespace dicom_sender {

// Make one when the program is about to serve, and keep it until it has ended. Without $NOTIFY_SOCKET nobody listens:
// it has no thread and says nothing. What cannot be told is logged as a warning and harms nothing else; a manager
// that does not read what it is told holds up Ready() and the destructor. Thread-safe.
//
//   READY=1, STATUS=   by Ready()
//   WATCHDOG=1         every half of $WATCHDOG_USEC (microseconds; unset, or $WATCHDOG_PID is another process: never)
//                      while `health` says that all is well, also while the program stops. What is wrong is logged
//                      once; the manager ends a program that it has not heard of for the whole of it
//   STOPPING=1         when `stop` is requested; at the latest by the destructor
class ServiceManager {
 public:
  // `health` is called from a thread of this object: nullptr: always well. It must not throw, and it, and what it
  // looks at, must outlive the object.
  ServiceManager(HttpCheck health, std::stop_token stop);
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // The program serves; `status` is what people are shown, a few words.
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
  std::thread thread_;  // not running: nobody listens
};

}  // namespace dicom_sender
