#ifndef SEDONA_BOUNDED_QUEUE_H_
#define SEDONA_BOUNDED_QUEUE_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace altprop::sedona {

// First in, first out, between two threads; Put waits while it is full.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  void Put(T value) {
    const absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &BoundedQueue::HasRoom));
    values_.push_back(std::move(value));
  }

  // Nothing comes after this.
  void Close() {
    const absl::MutexLock lock(&mutex_);
    closed_ = true;
  }

  // The next value; none once the queue is closed and empty.
  std::optional<T> Take() {
    const absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &BoundedQueue::HasNews));
    if (values_.empty()) return std::nullopt;
    std::optional<T> value(std::move(values_.front()));
    values_.pop_front();
    return value;
  }

 private:
  bool HasRoom() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return values_.size() < capacity_;
  }
  bool HasNews() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return closed_ || !values_.empty();
  }

  const size_t capacity_;
  absl::Mutex mutex_;
  std::deque<T> values_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace altprop::sedona

#endif  // SEDONA_BOUNDED_QUEUE_H_
