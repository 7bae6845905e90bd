#include "status_page/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "common/text.h"
#include "proto/words.h"
#include "session/json.h"
#include "session/session_view.h"
#include "status_page/page.h"

namespace dicom_sender {
namespace {

constexpr int kRowsMax = 100;  // per table; the script shows all rows

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : ToPrintable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// Escapes characters that could end the script element. In JSON, they occur only in strings.
std::string ForScript(std::string_view json) {
  std::string out;
  for (const char c : json) {
    if (c == '<' || c == '>' || c == '&') {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out;
}

using Cells = std::vector<std::string>;

// <bdi> isolates each cell, so that right-to-left names do not reorder the neighboring text.
std::string Row(const Cells& cells, const char* element) {
  std::string row = "<tr>";
  for (const std::string& cell : cells) row += fmt::format("<{0}><bdi>{1}</bdi></{0}>", element, Escaped(cell));
  return row + "</tr>\n";
}

template <class Entries, class ToCells>
std::string Table(const char* title, const char* none, const Cells& columns, const Entries& entries,
                  ToCells to_cells) {
  std::string html = fmt::format("<section><h2>{}</h2>\n", title);
  if (entries.empty()) return html + fmt::format("<p class=\"empty\">{}</p></section>\n", none);
  html += "<table><thead>" + Row(columns, "th") + "</thead><tbody>\n";
  const int shown = std::min(entries.size(), kRowsMax);
  for (int i = 0; i < shown; ++i) html += Row(to_cells(entries.Get(i)), "td");
  html += "</tbody></table>\n";
  if (shown < entries.size()) html += fmt::format("<p class=\"muted\">And {} more.</p>\n", entries.size() - shown);
  return html + "</section>\n";
}

Cells SessionCells(const wire::SessionProgress& session) {
  const wire::SessionStatus& status = session.status();
  return {status.session(),
          StateText(status),
          DestinationText(status.destination()),
          PercentText(status),
          std::to_string(status.stored()),
          std::to_string(status.failed()),
          std::to_string(status.skipped()),
          std::to_string(status.pending()),
          session.has_instances_per_second() ? fmt::format("{:.1f}/s", session.instances_per_second()) : "-",
          session.has_seconds_left() ? FormatDuration(std::chrono::seconds(session.seconds_left())) : "-",
          status.end_reason().empty() ? status.waits_for() : status.end_reason()};
}

Cells FailureCells(const wire::RecentFailure& recent) {
  const wire::FailureList::Entry& failure = recent.failure();
  return {ClockText(recent.time_ms()), failure.has_status() ? DimseStatusText(failure.status()) : "none",
          std::string(ReasonOf(failure)), failure.path(), failure.worker()};
}

Cells WorkerCells(const wire::WorkerList::Entry& worker) {
  return {worker.worker(), worker.state(), fmt::format("{} of {}", worker.leases(), worker.capacity()),
          fmt::format("{} s ago", worker.last_seen_ms() / 1000)};
}

Cells DestinationCells(const wire::DestinationList::Entry& destination) {
  return {destination.destination(), destination.state(), std::to_string(destination.leases()),
          std::to_string(destination.ready()), destination.trouble()};
}

std::string Tables(const wire::Overview& overview) {
  return fmt::format("<p>As of {}.</p>\n", ClockText(overview.sessions().at_ms())) +
         Table("Sessions", "No session yet.",
               {"Session", "State", "Destination", "Percent", "Stored", "Failed", "Skipped", "Pending", "Speed",
                "Time left", "Reason"},
               overview.sessions().sessions(), SessionCells) +
         Table("Recent failures", "None.", {"Time", "Status", "Reason", "File", "Worker"},
               overview.failures().failures(), FailureCells) +
         Table("Workers", "No worker is connected.", {"Worker", "State", "Associations", "Last seen"},
               overview.workers().workers(), WorkerCells) +
         Table("Destinations", "None: no session is open.",
               {"Destination", "State", "Sending", "Waiting", "Waits for"}, overview.destinations().destinations(),
               DestinationCells);
}

// The page contains each of the two marks exactly once.
std::string Page(std::string_view state, std::string_view tables) {
  std::string page = kPageHtml;
  const auto put = [&page](std::string_view mark, std::string_view text) {
    if (const auto at = page.find(mark); at != std::string::npos) page.replace(at, mark.size(), text);
  };
  put("<!--TABLES-->", tables);
  put("<!--STATE-->", state);
  return page;
}

}  // namespace

std::string PageWith(const wire::Overview& overview) {
  return Page(fmt::format("<script type=\"application/json\" id=\"state\">{}</script>", ForScript(ToJson(overview))),
              Tables(overview));
}

std::string PageWithNothing() { return Page("", "<p>The coordinator is starting.</p>\n"); }

}  // namespace dicom_sender
