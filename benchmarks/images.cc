// The side of `benchmarks/compare images` that is ours. Arguments: the root of
// a folder data set, the number of decode threads, the images a batch. Commands
// on standard input, each answered by a line:
//
//   train N       N training batches       SECONDS CPU_SECONDS IMAGES
//   normalised N  and each normalised      the same
//   shrunk N      decoded smaller where    the same
//                 the crop allows it
//   eval N        N evaluation batches     the same
//   decode N      N images decoded, whole  the same
//   write FILE    writes the first evaluation batch's bytes; answers its size
//
// Passes go on where the last of their kind ended.

#include <sys/resource.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "ATen/Parallel.h"
#include "absl/status/status.h"
#include "benchmarks/serve.h"
#include "common/data/image_decode.h"
#include "common/data/image_folder.h"
#include "common/data/image_stream.h"
#include "common/kernels/augment.h"
#include "common/status.h"

namespace altprop::benchmarks {
namespace {

constexpr int64_t kAhead = 2;

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Batch after batch, epoch after epoch.
class Passes {
 public:
  Passes(const data::ImageList& list, const data::ImageStreamOptions& options)
      : stream_(list, options) {}

  absl::StatusOr<data::Batch> Next() {
    if (index_ == stream_.batches_per_epoch()) {
      ++epoch_;
      index_ = 0;
    }
    return stream_.Get(epoch_, index_++);
  }

 private:
  data::ImageStream stream_;
  int64_t epoch_ = 0;
  int64_t index_ = 0;
};

class Bench {
 public:
  Bench(data::ImageFolder folder, int64_t threads, int64_t batch_size)
      : folder_(std::move(folder)) {
    options_.threads = threads;
    options_.batch_size = batch_size;
    options_.drop_last = true;
    options_.ahead = kAhead;
  }

  absl::Status Run(const std::string& command) {
    if (command == "write") return Write();
    int64_t count = 0;
    if (!(std::cin >> count)) return UsageError(command + " takes a number");
    absl::Status status;
    int64_t images = 0;
    // Until no batch is left that was decoded before the clock starts.
    for (int64_t i = 0; i < kAhead + 2 && status.ok(); ++i) {
      status = Step(command, &images);
    }
    images = 0;
    const double cpu = CpuSeconds();
    const double seconds = Seconds([&] {
      for (int64_t i = 0; i < count && status.ok(); ++i) {
        status = Step(command, &images);
      }
    });
    std::cout << seconds << ' ' << CpuSeconds() - cpu << ' ' << images
              << std::endl;
    return status;
  }

 private:
  absl::Status Step(const std::string& kind, int64_t* images) {
    if (kind == "decode") {
      ++*images;
      return Decode();
    }
    ALTPROP_ASSIGN_OR_RETURN(const data::Batch batch, Pass(kind).Next());
    *images += batch.images.size(0);
    if (kind == "normalised") {
      kernels::Normalize(batch.images, {0.485, 0.456, 0.406},
                         {0.229, 0.224, 0.225}, at::kFloat);
    }
    return absl::OkStatus();
  }

  Passes& Pass(const std::string& kind) {
    std::unique_ptr<Passes>& pass = passes_[kind];
    if (pass == nullptr) {
      data::ImageStreamOptions options = options_;
      options.shuffle = kind != "eval";
      options.transform =
          kind == "eval" ? data::EvalTransform() : data::TrainTransform();
      if (kind == "shrunk") options.transform.reserve = 1;
      pass = std::make_unique<Passes>(folder_.train, options);
    }
    return *pass;
  }

  absl::Status Decode() {
    const std::string path = folder_.train.path(at_++ % folder_.train.size());
    std::ifstream file(path, std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return data::DecodeImage(bytes.str(), path).status();
  }

  absl::Status Write() {
    std::string path;
    std::cin >> path;
    data::ImageStreamOptions options = options_;
    options.shuffle = false;
    options.transform = data::EvalTransform();
    data::ImageStream stream(folder_.train, options);
    ALTPROP_ASSIGN_OR_RETURN(const data::Batch batch, stream.Get(0, 0));
    std::ofstream(path, std::ios::binary)
        .write(static_cast<const char*>(batch.images.const_data_ptr()),
               batch.images.numel());
    std::cout << batch.images.numel() << std::endl;
    return absl::OkStatus();
  }

  data::ImageFolder folder_;
  data::ImageStreamOptions options_;
  std::map<std::string, std::unique_ptr<Passes>> passes_;
  int64_t at_ = 0;
};

absl::Status ServeImages(int argc, char** argv) {
  const int threads = argc == 4 ? std::atoi(argv[2]) : 0;
  const int batch_size = argc == 4 ? std::atoi(argv[3]) : 0;
  if (threads < 1 || batch_size < 1) {
    return UsageError("usage: images FOLDER THREADS BATCH_SIZE");
  }
  at::set_num_threads(threads);
  ALTPROP_ASSIGN_OR_RETURN(
      data::ImageFolder folder,
      data::ReadImageFolder({.name = "folder", .root = argv[1]}));
  Bench bench(std::move(folder), threads, batch_size);
  std::string command;
  while (std::cin >> command) ALTPROP_RETURN_IF_ERROR(bench.Run(command));
  return absl::OkStatus();
}

}  // namespace
}  // namespace altprop::benchmarks

int main(int argc, char** argv) {
  const absl::Status status = altprop::benchmarks::ServeImages(argc, argv);
  if (!status.ok()) std::cerr << "images: " << status.message() << '\n';
  return altprop::ExitCode(status);
}
