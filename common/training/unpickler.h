// Reads pickles as data: a stack machine that builds PickleObjects and cannot
// call, import or construct anything else.
#ifndef COMMON_TRAINING_UNPICKLER_H_
#define COMMON_TRAINING_UNPICKLER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/training/pickle_object.h"

namespace altprop::training {

// Understands what torch.save writes with pickle protocols 2 to 5 (and the
// strings of Python 2): no other opcodes, no other globals than FindGlobal's.
// Objects live as long as the Unpickler, within ObjectBudget.
//
// Errors, without the file's name: InvalidArgument names the opcode or global
// that is refused (`the pickle names the global os.system, which is not data`);
// DataLoss says what contradicts itself or ends early, and at which byte.
class Unpickler {
 public:
  // `bytes` must outlive this; several pickles may follow one another.
  explicit Unpickler(absl::string_view bytes)
      : bytes_(bytes), budget_(ObjectBudget(bytes.size())) {}

  Unpickler(const Unpickler&) = delete;
  Unpickler& operator=(const Unpickler&) = delete;

  // Reads the next pickle. The pointer stays valid.
  absl::StatusOr<const PickleObject*> Next();

  // Where the next pickle, or what follows the last one, begins.
  size_t position() const { return position_; }

  // Every storage that the pickles so far mentioned, in order.
  const std::vector<const PickleStorage*>& storages() const {
    return storages_;
  }

 private:
  using Items = std::vector<PickleObject*>;

  absl::Status Step(uint8_t opcode);
  absl::Status StepContainer(uint8_t opcode);
  absl::Status StepMemo(uint8_t opcode);
  absl::Status StepObject(uint8_t opcode);
  absl::Status Damaged(absl::string_view what) const;

  // The next bytes of the pickle.
  absl::StatusOr<absl::string_view> Take(uint64_t length);
  absl::StatusOr<absl::string_view> TakeLine();
  template <typename T>
  absl::StatusOr<T> TakeNumber();

  // The stack. New objects are charged to the budget.
  absl::Status Push(PickleObject object);
  absl::StatusOr<PickleObject*> Pop();
  absl::StatusOr<PickleObject*> Top();
  absl::StatusOr<Items> PopToMark();

  // Opcodes, by what they do.
  template <typename T>
  absl::Status PushInteger();
  template <typename T>
  absl::Status PushLong();
  template <typename T>
  absl::Status PushString();
  absl::Status PushFloat();
  absl::Status PushGlobal(absl::string_view module, absl::string_view name);
  absl::Status PushTuple(size_t length);
  absl::Status Extend(const Items& items);
  absl::Status SetItems(const Items& items);
  absl::Status Remember(uint32_t index);
  absl::Status Recall(uint32_t index);
  absl::Status Build();
  absl::Status LoadStorage();
  absl::Status Reduce();

  absl::string_view bytes_;
  int64_t budget_;  // bytes of memory left for objects
  size_t position_ = 0;
  std::deque<PickleObject> objects_;  // all of them: no recursive destruction
  Items stack_;
  std::vector<size_t> marks_;  // stack heights
  absl::flat_hash_map<uint32_t, PickleObject*> memo_;
  std::vector<const PickleStorage*> storages_;
};

}  // namespace altprop::training

#endif  // COMMON_TRAINING_UNPICKLER_H_
