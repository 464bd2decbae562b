#include "common/data/download.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>  // NOLINT(build/c++17)
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "common/data/curl.h"
#include "common/data/md5.h"
#include "common/status.h"

namespace altprop::data {
namespace {

namespace fs = std::filesystem;

absl::Status SystemError(absl::string_view path, absl::string_view action) {
  return absl::UnavailableError(
      absl::StrCat(path, ": cannot be ", action, ": ", std::strerror(errno)));
}

// NAME.part, open for appending and locked against another program.
class Part {
 public:
  static absl::StatusOr<Part> Open(const std::string& path) {
    const int file =
        open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return SystemError(path, "written");
    Part part(file, path);
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
      return absl::UnavailableError(
          absl::StrCat(path, ": another program is fetching this file"));
    }
    return part;
  }
  Part(Part&& other) noexcept
      : file_(std::exchange(other.file_, -1)), path_(std::move(other.path_)) {}
  Part& operator=(Part&&) = delete;
  ~Part() {
    if (file_ >= 0) close(file_);
  }

  const std::string& path() const { return path_; }

  int64_t Size() const {
    struct stat info {};
    return fstat(file_, &info) == 0 ? info.st_size : 0;
  }

  bool Append(const char* bytes, size_t size) const {
    while (size > 0) {
      const ssize_t wrote = write(file_, bytes, size);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return false;
      bytes += wrote;
      size -= static_cast<size_t>(wrote);
    }
    return true;
  }

  absl::Status Restart() const {
    return ftruncate(file_, 0) == 0 ? absl::OkStatus()
                                    : SystemError(path_, "written");
  }

  // Onto the disk, then to its name.
  absl::Status Install(const std::string& path) const {
    if (fsync(file_) != 0) return SystemError(path_, "written");
    if (rename(path_.c_str(), path.c_str()) != 0) {
      return SystemError(path, "written");
    }
    return absl::OkStatus();
  }

 private:
  Part(int file, std::string path) : file_(file), path_(std::move(path)) {}

  int file_;
  std::string path_;
};

// One request, and what it did.
struct Transfer {
  const Part* part;
  const RemoteFile* file;
  const DownloadOptions* options;
  int64_t start = 0;    // bytes in the part before
  int write_error = 0;  // errno of a write that failed

  static size_t Write(char* bytes, size_t one, size_t size, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    if (transfer->part->Append(bytes, one * size)) return one * size;
    transfer->write_error = errno;
    return 0;
  }

  static int Progress(void* self, curl_off_t total, curl_off_t now,
                      curl_off_t /*upload_total*/, curl_off_t /*upload_now*/) {
    const auto* transfer = static_cast<Transfer*>(self);
    if (transfer->options->progress && total > 0) {
      transfer->options->progress(*transfer->file, transfer->start + now,
                                  transfer->start + total);
    }
    return 0;
  }
};

class Fetcher {
 public:
  Fetcher(const CurlApi& curl, const RemoteFile& file,
          const std::string& folder, const DownloadOptions& options)
      : curl_(curl),
        file_(file),
        path_(absl::StrCat(folder, "/", file.name)),
        options_(options) {}

  absl::Status Run() const {
    if (Installed()) return absl::OkStatus();
    ALTPROP_ASSIGN_OR_RETURN(const Part part, Part::Open(path_ + ".part"));
    // Another program may have finished while this one waited for the lock.
    if (Installed()) return absl::OkStatus();
    absl::Status status = absl::InvalidArgumentError(
        absl::StrCat(file_.name, ": no address to fetch it from"));
    for (const std::string& base : options_.base_urls) {
      status = FromUrl(base + file_.name, part);
      if (status.ok()) return part.Install(path_);
      if (options_.progress) options_.progress(file_, -1, 0);
      if (absl::IsResourceExhausted(status)) return status;
    }
    std::error_code ignored;
    if (part.Size() == 0) fs::remove(part.path(), ignored);
    return status;
  }

 private:
  bool Installed() const {
    std::error_code error;
    return fs::exists(path_, error);
  }

  // Until the part is complete and its checksum right.
  absl::Status FromUrl(const std::string& url, const Part& part) const {
    const bool continued = part.Size() > 0;
    ALTPROP_RETURN_IF_ERROR(Complete(url, part));
    absl::Status status = Verify(url, part);
    if (status.ok()) return status;
    ALTPROP_RETURN_IF_ERROR(part.Restart());
    if (!continued) return status;
    // The part may have been of another file: once more, all of it.
    ALTPROP_RETURN_IF_ERROR(Complete(url, part));
    status = Verify(url, part);
    if (!status.ok()) ALTPROP_RETURN_IF_ERROR(part.Restart());
    return status;
  }

  absl::Status Verify(const std::string& url, const Part& part) const {
    ALTPROP_ASSIGN_OR_RETURN(const std::string md5, Md5OfFile(part.path()));
    if (md5 == file_.md5) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(url, ": checksum (MD5) ", md5,
                                            ", expected ", file_.md5,
                                            "; not installed"));
  }

  absl::Status Complete(const std::string& url, const Part& part) const {
    absl::Status status;
    for (int attempt = 1; attempt <= options_.attempts; ++attempt) {
      if (attempt > 1) {
        std::this_thread::sleep_for(
            std::chrono::duration<double>(options_.retry_seconds));
      }
      bool again = false;
      status = Attempt(url, part, &again);
      if (status.ok() || !again) return status;
    }
    return status;
  }

  // One request for what is missing. `again`: another may go better.
  absl::Status Attempt(const std::string& url, const Part& part,
                       bool* again) const {
    Transfer transfer{&part, &file_, &options_, part.Size()};
    std::array<char, CURL_ERROR_SIZE> reason{};
    CURLcode code = Perform(url, &transfer, reason.data());
    if (code == CURLE_RANGE_ERROR) {  // no ranges there: from the start
      ALTPROP_RETURN_IF_ERROR(part.Restart());
      transfer.start = 0;
      code = Perform(url, &transfer, reason.data());
    }
    if (code == CURLE_OK) {
      if (options_.progress) {
        options_.progress(file_, part.Size(), part.Size());
      }
      return absl::OkStatus();
    }
    if (transfer.write_error != 0) {
      errno = transfer.write_error;
      return absl::ResourceExhaustedError(
          SystemError(part.path(), "written").message());
    }
    *again =
        code != CURLE_HTTP_RETURNED_ERROR && code != CURLE_COULDNT_RESOLVE_HOST;
    const int64_t kept = part.Size();
    return absl::UnavailableError(absl::StrCat(
        url, ": ", reason[0] != '\0' ? reason.data() : curl_.strerror(code),
        kept == 0 ? ""
                  : absl::StrCat(" (", kept, " bytes are kept in ", part.path(),
                                 "; the next try goes on from there)")));
  }

  CURLcode Perform(const std::string& url, Transfer* transfer,
                   char* reason) const {
    const std::unique_ptr<CURL, decltype(curl_.cleanup)> handle(curl_.init(),
                                                                curl_.cleanup);
    if (handle == nullptr) return CURLE_FAILED_INIT;
    const auto set = [&](CURLoption option, auto value) {
      (curl_.setopt)(handle.get(), option, value);
    };
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_ERRORBUFFER, reason);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_FAILONERROR, 1L);
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_USERAGENT, "altprop");
    set(CURLOPT_CONNECTTIMEOUT, 30L);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall_seconds));
    set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(transfer->start));
    set(CURLOPT_WRITEFUNCTION, &Transfer::Write);
    set(CURLOPT_WRITEDATA, static_cast<void*>(transfer));
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &Transfer::Progress);
    set(CURLOPT_XFERINFODATA, static_cast<void*>(transfer));
    return curl_.perform(handle.get());
  }

  const CurlApi& curl_;
  const RemoteFile& file_;
  std::string path_;
  const DownloadOptions& options_;
};

// What StderrProgress() remembers between calls.
class ProgressLine {
 public:
  void Show(const RemoteFile& file, int64_t bytes, int64_t total) {
    if (bytes < 0) return Interrupt();
    const int64_t percent = total > 0 ? bytes * 100 / total : 0;
    if (file.name == name_ && percent < next_percent_) return;
    if (file.name != name_) next_percent_ = 0;
    name_ = file.name;
    next_percent_ = terminal_ ? percent + 1 : percent - percent % 10 + 10;
    const bool done = bytes == total;
    open_ = terminal_ && !done;
    absl::FPrintF(stderr, "%s%s: %.1f of %.1f MB (%d %%)%s",
                  terminal_ ? "\r\x1b[K" : "", name_, bytes * 1e-6,
                  total * 1e-6, percent, open_ ? "" : "\n");
    std::fflush(stderr);
  }

 private:
  void Interrupt() {
    if (std::exchange(open_, false)) absl::FPrintF(stderr, "\n");
    name_.clear();
  }

  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  std::string name_;
  int64_t next_percent_ = 0;
  bool open_ = false;  // the cursor stands at the end of a line
};

}  // namespace

absl::Status Download(absl::Span<const RemoteFile> files,
                      const std::string& folder,
                      const DownloadOptions& options) {
  ALTPROP_ASSIGN_OR_RETURN(const CurlApi curl, LoadCurl(options.library));
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(folder, ": cannot be made: ", error.message()));
  }
  for (const RemoteFile& file : files) {
    ALTPROP_RETURN_IF_ERROR(Fetcher(curl, file, folder, options).Run());
  }
  return absl::OkStatus();
}

std::function<void(const RemoteFile&, int64_t, int64_t)> StderrProgress() {
  return [line = std::make_shared<ProgressLine>()](
             const RemoteFile& file, int64_t bytes, int64_t total) {
    line->Show(file, bytes, total);
  };
}

}  // namespace altprop::data
