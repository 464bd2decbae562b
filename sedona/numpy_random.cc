#include "sedona/numpy_random.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <numeric>
#include <set>

namespace altprop::sedona {
namespace {

// Fewer classes than this in a batch's first samples are topped up.
constexpr size_t kFewestClasses = 10;

// The samples left, and one batch that takes from them.
class BatchPicker {
 public:
  BatchPicker(std::list<int64_t>& left, const std::vector<int64_t>& labels,
              std::vector<int64_t>& picked)
      : left_(left), labels_(labels), picked_(picked), first_(picked.size()) {}

  size_t size() const { return picked_.size() - first_; }

  void TakeFirst(int64_t count) {
    while (count-- > 0 && !left_.empty()) Take(left_.begin());
  }

  void AddClasses(int64_t classes_per_batch) {
    const auto most = kFewestClasses * static_cast<size_t>(classes_per_batch);
    auto at = left_.begin();
    // Only samples passed over count as looked at.
    for (size_t passed = 0; classes_.size() < kFewestClasses && passed < most &&
                            passed < left_.size();) {
      if (classes_.count(labels_[*at]) == 0) {
        at = Take(at);
      } else {
        ++at;
        ++passed;
      }
    }
  }

  void FillFromClasses(size_t batch_size) {
    for (auto at = left_.begin(); at != left_.end() && size() < batch_size;) {
      at = classes_.count(labels_[*at]) > 0 ? Take(at) : std::next(at);
    }
  }

 private:
  std::list<int64_t>::iterator Take(std::list<int64_t>::iterator at) {
    classes_.insert(labels_[*at]);
    picked_.push_back(*at);
    return left_.erase(at);
  }

  std::list<int64_t>& left_;
  const std::vector<int64_t>& labels_;
  std::vector<int64_t>& picked_;
  size_t first_;
  std::set<int64_t> classes_;
};

}  // namespace

uint32_t NumpyRandom::UpTo(uint32_t max) {
  uint32_t mask = max;
  for (int shift = 1; shift <= 16; shift *= 2) mask |= mask >> shift;
  if (max == 0) return 0;
  uint32_t value = 0;
  do {
    value = Next() & mask;
  } while (value > max);
  return value;
}

void NumpyRandom::Shuffle(std::vector<int64_t>& values) {
  for (size_t i = values.size(); i-- > 1;) {
    std::swap(values[i], values[UpTo(static_cast<uint32_t>(i))]);
  }
}

std::vector<int64_t> NumpyRandom::Permutation(int64_t n) {
  std::vector<int64_t> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), int64_t{0});
  Shuffle(values);
  return values;
}

Split SplitTrainingSet(int64_t n, double fraction, NumpyRandom& random) {
  const std::vector<int64_t> order = random.Permutation(n);
  const auto cut =
      order.begin() +
      static_cast<int64_t>(std::floor(fraction * static_cast<double>(n)));
  return {{order.begin(), cut}, {cut, order.end()}};
}

std::vector<int64_t> FewClassesOrder(const std::vector<int64_t>& order,
                                     const std::vector<int64_t>& labels,
                                     int64_t classes_per_batch,
                                     int64_t batch_size) {
  std::list<int64_t> left(order.begin(), order.end());
  const auto full = static_cast<size_t>(batch_size);
  std::vector<int64_t> picked;
  picked.reserve(order.size());
  while (!left.empty()) {
    BatchPicker batch(left, labels, picked);
    batch.TakeFirst(classes_per_batch);
    batch.AddClasses(classes_per_batch);
    batch.FillFromClasses(full);
    batch.TakeFirst(batch_size - static_cast<int64_t>(batch.size()));
  }
  return picked;
}

}  // namespace altprop::sedona
