#include "common/training/position.h"

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace altprop::training {
namespace {

absl::Status Get(const Value& from, absl::string_view key, int64_t& into) {
  ALTPROP_ASSIGN_OR_RETURN(into, from.GetInt(key));
  return absl::OkStatus();
}

absl::Status ReadScore(const Value& from, Score& score) {
  ALTPROP_ASSIGN_OR_RETURN(score.loss_sum, from.GetDouble("loss_sum"));
  ALTPROP_RETURN_IF_ERROR(Get(from, "correct", score.correct));
  ALTPROP_RETURN_IF_ERROR(Get(from, "correct5", score.correct5));
  return Get(from, "samples", score.samples);
}

}  // namespace

Score& Score::operator+=(const Score& other) {
  loss_sum += other.loss_sum;
  correct += other.correct;
  correct5 += other.correct5;
  samples += other.samples;
  return *this;
}

void Position::NextEpoch() {
  ++epoch;
  batch = 0;
  running = Score();
}

bool Position::IsBest(const Score& evaluated) {
  if (evaluated.correct <= best_correct) return false;
  best_correct = evaluated.correct;
  best_epoch = epoch;
  return true;
}

Dict PositionEntries(const Position& position) {
  return Dict{
      {"epoch", position.epoch},
      {"step", position.step},
      {"loader", Dict{{"epoch", position.epoch}, {"batch", position.batch}}},
      {"running", Dict{{"loss_sum", position.running.loss_sum},
                       {"correct", position.running.correct},
                       {"correct5", position.running.correct5},
                       {"samples", position.running.samples}}},
      {"best", Dict{{"correct", position.best_correct},
                    {"epoch", position.best_epoch}}},
  };
}

absl::StatusOr<Position> ReadPosition(const Value& checkpoint) {
  Position position;
  ALTPROP_RETURN_IF_ERROR(Get(checkpoint, "epoch", position.epoch));
  ALTPROP_RETURN_IF_ERROR(Get(checkpoint, "step", position.step));
  for (const char* key : {"loader", "running", "best"}) {
    ALTPROP_RETURN_IF_ERROR(checkpoint.GetDict(key).status());
  }
  ALTPROP_RETURN_IF_ERROR(
      Get(*checkpoint.Find("loader"), "batch", position.batch));
  ALTPROP_RETURN_IF_ERROR(
      ReadScore(*checkpoint.Find("running"), position.running));
  const Value& best = *checkpoint.Find("best");
  ALTPROP_RETURN_IF_ERROR(Get(best, "correct", position.best_correct));
  ALTPROP_RETURN_IF_ERROR(Get(best, "epoch", position.best_epoch));
  if (position.epoch < 0 || position.batch < 0 || position.step < 0) {
    return absl::InvalidArgumentError("a position before the first minibatch");
  }
  return position;
}

absl::Status CheckPosition(const std::string& file, const Position& at,
                           absl::string_view batch_flag, int64_t batches) {
  if (at.batch <= batches) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(file, ": stands after minibatch ", at.batch,
                   " of an epoch, but ", batch_flag, " makes only ", batches));
}

}  // namespace altprop::training
