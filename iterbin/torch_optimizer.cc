#include "iterbin/torch_optimizer.h"

#include <string>
#include <utility>

namespace altprop::iterbin {

using training::Dict;
using training::List;
using training::Value;

Dict AdamSettings() {
  const training::AdamOptions adam;
  return {{"betas", List{adam.beta1, adam.beta2}},
          {"eps", adam.eps},
          {"amsgrad", false},
          {"maximize", false},
          {"foreach", Value()},
          {"capturable", false},
          {"differentiable", false},
          {"fused", Value()},
          {"decoupled_weight_decay", false}};
}

Dict SgdSettings(double momentum) {
  return {{"momentum", momentum}, {"dampening", 0},
          {"nesterov", false},    {"maximize", false},
          {"foreach", Value()},   {"differentiable", false},
          {"fused", Value()}};
}

Value TorchState(const training::Optimizer& optimizer, const Dict& settings) {
  const Value state = optimizer.State();
  List groups;
  for (const Value& group : *state.Find("param_groups")->list()) {
    Dict whole = *group.dict();
    whole.insert(whole.end(), settings.begin(), settings.end());
    groups.emplace_back(std::move(whole));
  }
  return Dict{{"name", *state.Find("name")},
              {"state", *state.Find("state")},
              {"param_groups", std::move(groups)}};
}

}  // namespace altprop::iterbin
