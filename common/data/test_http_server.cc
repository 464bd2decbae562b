#include "common/data/test_http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/logging.h"

namespace altprop::data {

TestHttpServer::TestHttpServer()
    : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  CHECK_GE(listener_, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  PCHECK(bind(listener_, any, length) == 0);
  PCHECK(listen(listener_, 8) == 0);
  PCHECK(getsockname(listener_, any, &length) == 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread(&TestHttpServer::Run, this);
}

TestHttpServer::~TestHttpServer() {
  stopping_ = true;
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
}

std::string TestHttpServer::url() const {
  return absl::StrCat("http://127.0.0.1:", port_, "/");
}

void TestHttpServer::Serve(const std::string& name,
                           const std::string& contents) {
  const std::lock_guard lock(mutex_);
  files_["/" + name] = contents;
}

void TestHttpServer::CutAfter(size_t bytes, int times) {
  const std::lock_guard lock(mutex_);
  cut_after_ = bytes;
  cuts_left_ = times;
}

void TestHttpServer::IgnoreRanges() {
  const std::lock_guard lock(mutex_);
  ignore_ranges_ = true;
}

std::vector<std::string> TestHttpServer::ranges() const {
  const std::lock_guard lock(mutex_);
  return ranges_;
}

void TestHttpServer::Run() {
  while (!stopping_) {
    const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    Answer(connection);
    close(connection);
  }
}

void TestHttpServer::Answer(int connection) {
  std::string request;
  std::array<char, 4096> chunk{};
  while (!absl::StrContains(request, "\r\n\r\n")) {
    const ssize_t got = read(connection, chunk.data(), chunk.size());
    if (got <= 0) return;
    request.append(chunk.data(), static_cast<size_t>(got));
  }
  size_t body_at = 0;
  std::string response = Response(request, &body_at);
  {
    const std::lock_guard lock(mutex_);
    if (cuts_left_ > 0 && response.size() > body_at + cut_after_) {
      --cuts_left_;
      response.resize(body_at + cut_after_);
    }
  }
  for (size_t sent = 0; sent < response.size();) {
    const ssize_t wrote =
        send(connection, &response[sent], response.size() - sent, MSG_NOSIGNAL);
    if (wrote <= 0) return;
    sent += static_cast<size_t>(wrote);
  }
  shutdown(connection, SHUT_WR);
  while (read(connection, chunk.data(), chunk.size()) > 0) continue;
}

std::string TestHttpServer::Response(const std::string& request,
                                     size_t* body_at) {
  const std::lock_guard lock(mutex_);
  const std::vector<std::string> lines = absl::StrSplit(request, "\r\n");
  const std::vector<std::string> words = absl::StrSplit(lines[0], ' ');
  std::string range;
  for (const std::string& line : lines) {
    if (absl::StartsWithIgnoreCase(line, "range: ")) range = line.substr(7);
  }
  ranges_.push_back(range);
  const auto file = files_.find(words[1]);
  std::string status = "200 OK";
  std::string body;
  std::string extra;
  size_t start = 0;
  if (file == files_.end()) {
    status = "404 Not Found";
  } else {
    const std::string& contents = file->second;
    if (!range.empty() && !ignore_ranges_) {
      start = std::strtoul(range.c_str() + sizeof("bytes=") - 1, nullptr, 10);
      status = start < contents.size() ? "206 Partial Content"
                                       : "416 Range Not Satisfiable";
      extra = absl::StrCat("Content-Range: bytes ", start, "-",
                           contents.size() - 1, "/", contents.size(), "\r\n");
    }
    body = contents.substr(std::min(start, contents.size()));
  }
  std::string head =
      absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Length: ", body.size(),
                   "\r\n", extra, "Connection: close\r\n\r\n");
  *body_at = head.size();
  return head + body;
}

}  // namespace altprop::data
