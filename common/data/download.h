// Fetching the official files, with the machine's own libcurl.
//
// libcurl.so.4 is opened when it is needed: a machine without it still builds
// and trains, and TLS and certificates stay the system's. A file arrives as
// NAME.part, is continued there after a cut (HTTP Range; a restart where the
// server refuses), is checked against its published MD5, and only then gets its
// name, by rename: a name in the folder means a whole, verified file. A lock on
// the part keeps two programs from writing one file.
#ifndef COMMON_DATA_DOWNLOAD_H_
#define COMMON_DATA_DOWNLOAD_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace altprop::data {

struct RemoteFile {
  std::string name;  // appended to a base URL; also the name on disk
  std::string md5;   // as published, 32 hexadecimal digits in lower case
};

struct DownloadOptions {
  std::vector<std::string> base_urls;  // tried in order; each ends in "/"
  int attempts = 3;           // per URL; each goes on where the last was cut
  double retry_seconds = 1;   // pause before a second attempt
  double stall_seconds = 30;  // without a byte for so long: a cut
  std::string library = "libcurl.so.4";
  // Called with the bytes so far and the total, and with -1 bytes after a
  // transfer that failed; may be empty.
  std::function<void(const RemoteFile&, int64_t bytes, int64_t total)> progress;
};

// Fetches the files that `folder` (made if missing) does not have yet. One-line
// errors with the URL and the reason of the last try.
absl::Status Download(absl::Span<const RemoteFile> files,
                      const std::string& folder,
                      const DownloadOptions& options);

// A progress line on stderr: redrawn on a terminal, else one line in ten
// percent.
std::function<void(const RemoteFile&, int64_t, int64_t)> StderrProgress();

}  // namespace altprop::data

#endif  // COMMON_DATA_DOWNLOAD_H_
