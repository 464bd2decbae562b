#include "common/training/position.h"

#include "gtest/gtest.h"

namespace altprop::training {
namespace {

Position Somewhere() {
  Position at;
  at.epoch = 3;
  at.batch = 7;
  at.step = 67;
  at.running = {.loss_sum = 1.5, .correct = 4, .correct5 = 6, .samples = 8};
  at.best_correct = 90;
  at.best_epoch = 2;
  return at;
}

TEST(Score, AddsUpAndIsNothingOfNothing) {
  Score score;
  EXPECT_EQ(score.accuracy(), 0);
  score += {.loss_sum = 3, .correct = 1, .correct5 = 2, .samples = 2};
  score += {.loss_sum = 1, .correct = 1, .correct5 = 2, .samples = 2};
  EXPECT_EQ(score.loss(), 1);
  EXPECT_EQ(score.accuracy(), 0.5);
  EXPECT_EQ(score.accuracy5(), 1);
}

TEST(Position, TravelsThroughACheckpoint) {
  const Position at = Somewhere();
  const auto read = ReadPosition(Value(PositionEntries(at)));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->epoch, at.epoch);
  EXPECT_EQ(read->batch, at.batch);
  EXPECT_EQ(read->step, at.step);
  EXPECT_EQ(read->running.loss_sum, at.running.loss_sum);
  EXPECT_EQ(read->running.correct, at.running.correct);
  EXPECT_EQ(read->running.correct5, at.running.correct5);
  EXPECT_EQ(read->running.samples, at.running.samples);
  EXPECT_EQ(read->best_correct, at.best_correct);
  EXPECT_EQ(read->best_epoch, at.best_epoch);
}

TEST(Position, WhatIsMissingOrNegativeIsRefused) {
  const Dict entries = PositionEntries(Somewhere());
  for (size_t i = 0; i < entries.size(); ++i) {
    Dict fewer = entries;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(ReadPosition(Value(fewer)).ok()) << entries[i].first;
  }
  Position at = Somewhere();
  at.step = -1;
  EXPECT_FALSE(ReadPosition(Value(PositionEntries(at))).ok());
}

TEST(Position, OnlyABetterScoreIsTheBest) {
  Position at = Somewhere();
  EXPECT_FALSE(at.IsBest({.correct = 90, .samples = 100}));
  EXPECT_EQ(at.best_epoch, 2);
  EXPECT_TRUE(at.IsBest({.correct = 91, .samples = 100}));
  EXPECT_EQ(at.best_correct, 91);
  EXPECT_EQ(at.best_epoch, 3);
}

TEST(Position, BeyondTheEpochNamesFileAndFlag) {
  Position at;
  at.batch = 7;
  EXPECT_TRUE(CheckPosition("f.pt", at, "--mbs=20", 7).ok());
  EXPECT_EQ(CheckPosition("f.pt", at, "--mbs=20", 6).message(),
            "f.pt: stands after minibatch 7 of an epoch, but --mbs=20 makes "
            "only 6");
}

TEST(Position, NextEpochBeginsWithoutAScore) {
  Position at = Somewhere();
  at.NextEpoch();
  EXPECT_EQ(at.epoch, 4);
  EXPECT_EQ(at.batch, 0);
  EXPECT_EQ(at.step, 67);
  EXPECT_EQ(at.running.samples, 0);
}

}  // namespace
}  // namespace altprop::training
