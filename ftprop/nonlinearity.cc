#include "ftprop/nonlinearity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace altprop::ftprop {
namespace {

constexpr int64_t kMostSteps = 254;

Nonlinearity Staircase(int64_t steps, double low = 0, double high = 1,
                       double truncation = 2) {
  return {Family::kStaircase, steps, low, high, truncation};
}

Nonlinearity OldStaircase(int64_t steps, double low = 0) {
  return {Family::kOldStaircase, steps, low, 1};
}

using Named = std::pair<std::string, Nonlinearity>;

const std::vector<Named>& Factory() {
  static const auto* const factory = new std::vector<Named>{
      {"step11", {Family::kStep11}},
      {"step01", {Family::kStep01}},
      {"staircase3", Staircase(3)},
      {"staircase", Staircase(5)},
      {"relu", {Family::kRelu}},
      {"threshrelu", {Family::kThreshRelu}},
      {"staircase7", Staircase(7)},
      {"staircase100", Staircase(100)},
      {"staircase11_3", Staircase(3, -1)},
      {"staircase_t2", Staircase(5, 0, 1, 3)},
      {"oldstaircase", OldStaircase(5)},
      {"oldstaircase3", OldStaircase(3)},
      {"oldstaircase7", OldStaircase(7)},
      {"oldstaircase11", OldStaircase(5, -1)},
      {"oldstaircase11_3", OldStaircase(3, -1)},
      {"hardtanh", {Family::kHardTanh}},
      {"cabs", {Family::kClippedAbs}},
      {"threshrelu2", {Family::kThreshRelu, 0, 0, 2}},
      {"hardsigmoid", {Family::kHardSigmoid}},
  };
  return *factory;
}

// The shortest text that reads back as `value`.
std::string Shortest(double value) {
  std::array<char, 32> text;
  return {text.data(),
          std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

// "staircase:N[:LOW:HIGH]".
absl::StatusOr<Nonlinearity> ParseStaircase(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  Nonlinearity made;
  made.family =
      parts[0] == "staircase" ? Family::kStaircase : Family::kOldStaircase;
  const bool range = parts.size() == 4;
  if (!absl::SimpleAtoi(parts[1], &made.steps) || made.steps < 2 ||
      made.steps > kMostSteps || (parts.size() != 2 && !range) ||
      (range &&
       !(absl::SimpleAtod(parts[2], &made.low) &&
         absl::SimpleAtod(parts[3], &made.high) && std::isfinite(made.low) &&
         std::isfinite(made.high) && made.low < made.high))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected ", parts[0], ":N or ", parts[0], ":N:LOW:HIGH with 2 to ",
        kMostSteps, " steps N and LOW below HIGH"));
  }
  return made;
}

using RuleAndName = std::pair<Rule, absl::string_view>;
constexpr RuleAndName kRules[] = {
    {Rule::kWtHinge, "WtHinge"},
    {Rule::kWeightedPerceptron, "WeightedPerceptron"},
    {Rule::kAdaline, "Adaline"},
    {Rule::kSte, "STE"},
    {Rule::kSste, "SSTE"},
    {Rule::kTruncWtHinge, "TruncWtHinge"},
    {Rule::kLogWtHinge, "LogWtHinge"},
    {Rule::kTruncWtL2Hinge, "TruncWtL2Hinge"},
    {Rule::kTruncLogWtHinge, "TruncLogWtHinge"},
    {Rule::kTruncWtPerceptron, "TruncWtPerceptron"},
    {Rule::kSigmoid, "Sigmoid"},
    {Rule::kLogLoss, "LogLoss"},
    {Rule::kTruncLogLoss, "TruncLogLoss"},
    {Rule::kSquareLoss, "SquareLoss"},
    {Rule::kTruncSquareLoss, "TruncSquareLoss"},
    {Rule::kTruncWtHinge2, "TruncWtHinge2"},
    {Rule::kSigmoid2_2, "Sigmoid2_2"},
    {Rule::kLogSigmoid, "LogSigmoid"},
    {Rule::kTruncWtHinge11, "TruncWtHinge11"},
    {Rule::kSoftHinge, "SoftHinge"},
    {Rule::kSoftHinge2, "SoftHinge2"},
    {Rule::kSigmoid3_2, "Sigmoid3_2"},
    {Rule::kSsteV2, "SSTEv2"},
    {Rule::kLeCunTanh, "LeCunTanh"},
    {Rule::kRamp, "Ramp"},
};

std::string Names(const std::vector<Rule>& rules) {
  return absl::StrJoin(rules, ", ", [](std::string* out, Rule rule) {
    absl::StrAppend(out, RuleName(rule));
  });
}

// The rules that go with a family, in the order of their numbers.
const std::vector<Rule>& RulesFor(Family family) {
  static const auto* const step11 =
      new std::vector<Rule>{Rule::kWeightedPerceptron,
                            Rule::kAdaline,
                            Rule::kSte,
                            Rule::kSste,
                            Rule::kTruncWtHinge,
                            Rule::kSigmoid,
                            Rule::kSigmoid2_2,
                            Rule::kSoftHinge,
                            Rule::kSigmoid3_2,
                            Rule::kSsteV2,
                            Rule::kLeCunTanh,
                            Rule::kRamp};
  static const auto* const step01 =
      new std::vector<Rule>{Rule::kSte,    Rule::kSste,      Rule::kSoftHinge,
                            Rule::kSsteV2, Rule::kLeCunTanh, Rule::kRamp};
  static const auto* const staircase =
      new std::vector<Rule>{Rule::kSste, Rule::kTruncWtHinge, Rule::kSoftHinge};
  switch (family) {
    case Family::kStep11:
      return *step11;
    case Family::kStaircase:
      return *staircase;
    default:  // step01, and the old staircases, which are made of it
      return *step01;
  }
}

}  // namespace

absl::StatusOr<Nonlinearity> ParseNonlinearity(absl::string_view text) {
  for (const auto& [name, nonlinearity] : Factory()) {
    if (name == text) return nonlinearity;
  }
  if (text.substr(0, 10) == "staircase:" ||
      text.substr(0, 13) == "oldstaircase:") {
    return ParseStaircase(text);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("expected ", absl::StrJoin(NonlinearityNames(), ", "),
                   " or staircase:N:LOW:HIGH"));
}

std::string NonlinearityName(const Nonlinearity& nonlinearity) {
  for (const auto& [name, known] : Factory()) {
    if (known == nonlinearity) return name;
  }
  const char* const prefix = nonlinearity.family == Family::kStaircase
                                 ? "staircase:"
                                 : "oldstaircase:";
  std::string name = absl::StrCat(prefix, nonlinearity.steps);
  if (nonlinearity.low != 0 || nonlinearity.high != 1) {
    absl::StrAppend(&name, ":", Shortest(nonlinearity.low), ":",
                    Shortest(nonlinearity.high));
  }
  return name;
}

const std::vector<std::string>& NonlinearityNames() {
  static const auto* const names = [] {
    auto* const list = new std::vector<std::string>;
    for (const Named& named : Factory()) list->push_back(named.first);
    return list;
  }();
  return *names;
}

const std::vector<Rule>& Rules() {
  static const auto* const rules = [] {
    auto* const list = new std::vector<Rule>;
    for (const RuleAndName& rule : kRules) list->push_back(rule.first);
    return list;
  }();
  return *rules;
}

absl::string_view RuleName(Rule rule) {
  for (const auto& [known, name] : kRules) {
    if (known == rule) return name;
  }
  return "";
}

absl::StatusOr<Rule> ParseRule(absl::string_view name) {
  for (const auto& [rule, known] : kRules) {
    if (known == name) return rule;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("expected one of ", Names(Rules())));
}

absl::Status CheckRule(const Nonlinearity& nonlinearity, Rule rule,
                       bool scaled) {
  if (!nonlinearity.hard()) return absl::OkStatus();
  const std::vector<Rule>& rules = RulesFor(nonlinearity.family);
  if (std::find(rules.begin(), rules.end(), rule) == rules.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there is no such rule for ", NonlinearityName(nonlinearity),
        ", which has ", Names(rules)));
  }
  const bool has_gradient_inside =
      rule == Rule::kSte || rule == Rule::kSste || rule == Rule::kRamp;
  if (!scaled && has_gradient_inside) {
    return absl::InvalidArgumentError(absl::StrCat(
        "passes the gradient itself on, so it has no form without importance "
        "weighting (--no-tp-grad-scale)"));
  }
  return absl::OkStatus();
}

}  // namespace altprop::ftprop
