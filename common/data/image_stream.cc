#include "common/data/image_stream.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/random.h"
#include "common/status.h"

namespace altprop::data {
namespace {

constexpr uint64_t kGeometryStream = RandomStream("image geometry");
constexpr int64_t kMostEpochs = std::numeric_limits<uint32_t>::max();
// No image is so large; a file that never ends is one.
constexpr int64_t kMostFileBytes = int64_t{1} << 30;

absl::Status CannotRead(const std::string& path, int error) {
  return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(error)));
}

absl::Status ReadFile(const std::string& path, std::string* bytes) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return CannotRead(path, errno);
  const absl::Cleanup closer = [file] { close(file); };
  struct stat about {};
  if (fstat(file, &about) != 0) return CannotRead(path, errno);
  if (!S_ISREG(about.st_mode) || about.st_size > kMostFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": not a file of at most ", kMostFileBytes, " bytes"));
  }
  bytes->resize(static_cast<size_t>(about.st_size));
  size_t done = 0;
  while (done < bytes->size()) {
    const ssize_t count =
        read(file, bytes->data() + done, bytes->size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CannotRead(path, errno);
    if (count == 0) break;  // cut since: its decoder will say so
    done += static_cast<size_t>(count);
  }
  bytes->resize(done);
  return absl::OkStatus();
}

// A batch being decoded.
struct Slot {
  Batch batch;
  std::vector<absl::Status> statuses;  // of its samples
  int64_t taken = 0;                   // samples given to threads
  int64_t done = 0;
};

}  // namespace

class ImageStream::Impl {
 public:
  Impl(ImageList list, Options options)
      : list_(std::move(list)), options_(std::move(options)) {
    CHECK_GE(options_.batch_size, 1);
    CHECK_GE(options_.threads, 0);
    CHECK_GE(options_.ahead, 0);
    CHECK_GE(options_.skip_corrupt, 0);
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int64_t batches() const {
    const int64_t full = list_.size() / options_.batch_size;
    const bool partial = list_.size() % options_.batch_size != 0;
    return full + (partial && !options_.drop_last ? 1 : 0);
  }

  absl::StatusOr<Batch> Get(int64_t epoch, int64_t index) {
    CHECK_GE(epoch, 0);
    CHECK_LE(epoch, kMostEpochs);
    CHECK_GE(index, 0);
    CHECK_LT(index, batches());
    std::unique_lock lock(mutex_);
    if (queue_.empty() || queue_.front()->batch.epoch != epoch ||
        queue_.front()->batch.index != index) {
      queue_.clear();
      Push(epoch, index);
    }
    Fill();
    StartThreads();
    work_.notify_all();
    const std::shared_ptr<Slot> slot = queue_.front();
    ready_.wait(lock, [&] {
      return slot->done == static_cast<int64_t>(slot->statuses.size());
    });
    queue_.pop_front();
    lock.unlock();
    return Finish(*slot);
  }

  const ImageList& list() const { return list_; }
  const Options& options() const { return options_; }
  int64_t skipped() const { return static_cast<int64_t>(skipped_.size()); }

 private:
  // The batches after the last in the queue, up to `ahead` beyond the first.
  // What is evaluated starts again at 0 whenever its owner says; a training
  // epoch is followed by the next.
  void Fill() {
    while (static_cast<int64_t>(queue_.size()) < options_.ahead + 1) {
      int64_t epoch = queue_.back()->batch.epoch;
      int64_t index = queue_.back()->batch.index + 1;
      if (index == batches()) {
        if (!reorders() || epoch == kMostEpochs) return;
        ++epoch;
        index = 0;
      }
      Push(epoch, index);
    }
  }

  void Push(int64_t epoch, int64_t index) {
    const int64_t start = index * options_.batch_size;
    const int64_t count = std::min(options_.batch_size, list_.size() - start);
    const int64_t side = options_.transform.size;
    auto slot = std::make_shared<Slot>();
    slot->batch.epoch = epoch;
    slot->batch.index = index;
    slot->batch.sample_ids = Order(epoch).narrow(0, start, count);
    slot->batch.labels = at::empty({count}, at::kLong);
    slot->batch.images =
        at::empty({count, 3, side, side},
                  at::TensorOptions(at::kByte).pinned_memory(options_.pinned));
    const auto* ids = slot->batch.sample_ids.const_data_ptr<int64_t>();
    auto* labels = slot->batch.labels.mutable_data_ptr<int64_t>();
    for (int64_t i = 0; i < count; ++i) labels[i] = list_.label(ids[i]);
    slot->statuses.resize(static_cast<size_t>(count));
    queue_.push_back(std::move(slot));
  }

  // Of the epochs in the queue, which are two at most, or one that is asked
  // for again.
  const at::Tensor& Order(int64_t epoch) {
    const int64_t key = reorders() ? epoch : 0;
    const auto found = orders_.find(key);
    if (found != orders_.end()) return found->second;
    while (orders_.size() >= 2) {
      // The one farther away.
      const auto last = std::prev(orders_.end());
      orders_.erase(last->first > epoch ? last : orders_.begin());
    }
    return orders_[key] = NewOrder(epoch);
  }

  at::Tensor NewOrder(int64_t epoch) const {
    if (!options_.order) {
      return options_.shuffle ? Permutation(options_.seed, epoch, list_.size())
                              : at::arange(list_.size(), at::kLong);
    }
    at::Tensor order = options_.order(epoch).contiguous();
    CHECK(order.scalar_type() == at::kLong);
    CHECK_EQ(order.numel(), list_.size());
    return order;
  }

  bool reorders() const { return options_.shuffle || options_.order; }

  void StartThreads() {
    int64_t count = options_.threads;
    if (count == 0) count = std::max(1U, std::thread::hardware_concurrency());
    while (static_cast<int64_t>(threads_.size()) < count) {
      threads_.emplace_back([this] { Work(); });
    }
  }

  // The first sample that no thread has yet.
  std::shared_ptr<Slot> Take(int64_t* sample) {
    for (const auto& slot : queue_) {
      if (slot->taken < static_cast<int64_t>(slot->statuses.size())) {
        *sample = slot->taken++;
        return slot;
      }
    }
    return nullptr;
  }

  void Work() {
    ImageScratch scratch;
    std::string bytes;
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      int64_t sample = 0;
      const std::shared_ptr<Slot> slot = Take(&sample);
      if (slot == nullptr) {
        work_.wait(lock);
        continue;
      }
      lock.unlock();
      absl::Status status = MakeOrRunOut(*slot, sample, &bytes, &scratch);
      lock.lock();
      slot->statuses[sample] = std::move(status);
      if (++slot->done == static_cast<int64_t>(slot->statuses.size())) {
        ready_.notify_all();
      }
    }
  }

  // An exception would end the program from a thread.
  absl::Status MakeOrRunOut(const Slot& slot, int64_t sample,
                            std::string* bytes, ImageScratch* scratch) const {
    try {
      return Make(slot, sample, bytes, scratch);
    } catch (const std::bad_alloc&) {
      const int64_t id =
          slot.batch.sample_ids.const_data_ptr<int64_t>()[sample];
      return absl::ResourceExhaustedError(
          absl::StrCat(list_.path(id), ": out of memory"));
    }
  }

  absl::Status Make(const Slot& slot, int64_t sample, std::string* bytes,
                    ImageScratch* scratch) const {
    const Batch& batch = slot.batch;
    const int64_t id = batch.sample_ids.const_data_ptr<int64_t>()[sample];
    const int64_t side = options_.transform.size;
    const std::string path = list_.path(id);
    ALTPROP_RETURN_IF_ERROR(ReadFile(path, bytes));
    const CounterRandom random(options_.seed, kGeometryStream,
                               static_cast<uint32_t>(batch.epoch),
                               static_cast<uint64_t>(id));
    return MakeInput(
        *bytes, path, options_.transform, random, scratch,
        batch.images.mutable_data_ptr<uint8_t>() + sample * 3 * side * side);
  }

  // Leaves out what did not decode, in the batch's order: which files are
  // within skip_corrupt does not depend on which thread came first.
  absl::StatusOr<Batch> Finish(const Slot& slot) {
    const Batch& batch = slot.batch;
    const auto* ids = batch.sample_ids.const_data_ptr<int64_t>();
    std::vector<int64_t> kept;
    for (size_t i = 0; i < slot.statuses.size(); ++i) {
      const absl::Status& status = slot.statuses[i];
      if (status.ok()) {
        kept.push_back(static_cast<int64_t>(i));
        continue;
      }
      ALTPROP_RETURN_IF_ERROR(Skip(status, ids[i]));
    }
    if (kept.size() == slot.statuses.size()) return batch;
    if (kept.empty()) {
      return absl::DataLossError(absl::StrCat(
          "none of the ", slot.statuses.size(), " images of batch ",
          batch.index, " of epoch ", batch.epoch,
          " decodes, the first: ", slot.statuses[0].message()));
    }
    const at::Tensor rows = at::tensor(kept, at::kLong);
    Batch rest = batch;
    rest.images = batch.images.index_select(0, rows);
    rest.labels = batch.labels.index_select(0, rows);
    rest.sample_ids = batch.sample_ids.index_select(0, rows);
    return rest;
  }

  absl::Status Skip(const absl::Status& status, int64_t id) {
    if (!absl::IsDataLoss(status)) return status;
    if (skipped_.count(id) != 0) return absl::OkStatus();
    if (skipped() >= options_.skip_corrupt) {
      if (options_.skip_corrupt == 0) return status;
      return absl::DataLossError(
          absl::StrCat(status.message(), " (", skipped(),
                       " files left out before it: --skip_corrupt)"));
    }
    skipped_.insert(id);
    LOG(WARNING) << "left out: " << status.message();
    return absl::OkStatus();
  }

  const ImageList list_;
  const Options options_;
  std::set<int64_t> skipped_;

  std::mutex mutex_;  // guards what follows, and the slots' counters
  std::condition_variable work_;   // something to decode, or to stop for
  std::condition_variable ready_;  // a batch is complete
  bool stopping_ = false;
  std::deque<std::shared_ptr<Slot>> queue_;
  std::map<int64_t, at::Tensor> orders_;
  std::vector<std::thread> threads_;
};

ImageStream::ImageStream(ImageList list, Options options)
    : impl_(std::make_unique<Impl>(std::move(list), std::move(options))) {}

ImageStream::~ImageStream() = default;

int64_t ImageStream::batches_per_epoch() const { return impl_->batches(); }

int64_t ImageStream::samples_per_epoch() const {
  return std::min(size(), impl_->batches() * impl_->options().batch_size);
}

int64_t ImageStream::size() const { return impl_->list().size(); }

const ImageList& ImageStream::list() const { return impl_->list(); }

absl::StatusOr<Batch> ImageStream::Get(int64_t epoch, int64_t index) {
  return impl_->Get(epoch, index);
}

int64_t ImageStream::skipped() const { return impl_->skipped(); }

absl::StatusOr<ImageSet> ReadImages(const ImageList& list,
                                    ImageStreamOptions options) {
  options.shuffle = false;
  options.order = nullptr;
  options.drop_last = false;
  ImageStream stream(list, options);
  const int64_t side = options.transform.size;
  ImageSet set;
  set.classes = list.classes();
  set.images = at::empty({list.size(), 3, side, side}, at::kByte);
  set.labels = at::empty({list.size()}, at::kLong);
  int64_t done = 0;
  for (int64_t i = 0; i < stream.batches_per_epoch(); ++i) {
    ALTPROP_ASSIGN_OR_RETURN(const Batch batch, stream.Get(0, i));
    const int64_t count = batch.labels.size(0);
    set.images.narrow(0, done, count).copy_(batch.images);
    set.labels.narrow(0, done, count).copy_(batch.labels);
    done += count;
  }
  set.images = set.images.narrow(0, 0, done);
  set.labels = set.labels.narrow(0, 0, done);
  return set;
}

}  // namespace altprop::data
