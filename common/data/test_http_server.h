// An HTTP server on the loopback interface that serves a few bytes and
// misbehaves as told.
#ifndef COMMON_DATA_TEST_HTTP_SERVER_H_
#define COMMON_DATA_TEST_HTTP_SERVER_H_

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace altprop::data {

class TestHttpServer {
 public:
  TestHttpServer();
  ~TestHttpServer();
  TestHttpServer(const TestHttpServer&) = delete;
  TestHttpServer& operator=(const TestHttpServer&) = delete;

  std::string url() const;  // "http://127.0.0.1:PORT/"

  // How to answer for the file `name`; any other is a 404.
  void Serve(const std::string& name, const std::string& contents);
  // The next `times` answers break off after `bytes` bytes of their body.
  void CutAfter(size_t bytes, int times);
  // Answer ranges with the whole file, as a simple server does.
  void IgnoreRanges();

  // The Range headers received so far, "" for a request without one.
  std::vector<std::string> ranges() const;

 private:
  void Run();
  void Answer(int connection);
  std::string Response(const std::string& request, size_t* body_at);

  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> files_;
  size_t cut_after_ = 0;
  int cuts_left_ = 0;
  bool ignore_ranges_ = false;
  std::vector<std::string> ranges_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace altprop::data

#endif  // COMMON_DATA_TEST_HTTP_SERVER_H_
