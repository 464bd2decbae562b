// NumPy's legacy random numbers: those of numpy.random.seed(s) followed by
// shuffle, permutation and choice, number by number. The authors' program takes
// its validation split and its draws from the weight memory from them.
#ifndef SEDONA_NUMPY_RANDOM_H_
#define SEDONA_NUMPY_RANDOM_H_

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace altprop::sedona {

class NumpyRandom {
 public:
  // Of a seed, only the lower 32 bits count, as NumPy takes no more.
  explicit NumpyRandom(uint64_t seed)
      : bits_(static_cast<std::mt19937::result_type>(seed)) {}

  uint32_t Next() { return static_cast<uint32_t>(bits_()); }

  // Uniform on 0 .. max: the lowest bits that can hold max, drawn until they
  // are no larger.
  uint32_t UpTo(uint32_t max);

  // From the last entry down, each is swapped with one that is not behind it.
  void Shuffle(std::vector<int64_t>& values);

  // 0 .. n - 1, shuffled.
  std::vector<int64_t> Permutation(int64_t n);

  // One of 0 .. n - 1, as choice(n, 1, replace=False) draws it.
  int64_t ChoiceOne(int64_t n) { return Permutation(n).front(); }

 private:
  std::mt19937 bits_;
};

// Positions in a training set of n samples: the first floor(fraction n) of the
// seed's permutation are for validation, the others for training, in that
// order.
struct Split {
  std::vector<int64_t> valid;
  std::vector<int64_t> train;
};
Split SplitTrainingSet(int64_t n, double fraction, NumpyRandom& random);

// The order in which one pass hands out samples when the batches hold few
// classes (PredSim on Tiny-ImageNet): `order`, the samples as shuffled, is
// rearranged batch by batch. A batch starts with the first `classes_per_batch`
// samples left; while these show fewer than 10 classes (the authors' constant,
// whatever classes_per_batch is), samples of other classes are looked for among
// the next ones; then come samples of the classes found, then any.
std::vector<int64_t> FewClassesOrder(const std::vector<int64_t>& order,
                                     const std::vector<int64_t>& labels,
                                     int64_t classes_per_batch,
                                     int64_t batch_size);

}  // namespace altprop::sedona

#endif  // SEDONA_NUMPY_RANDOM_H_
