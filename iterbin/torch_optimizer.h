// The optimizer's part of the authors' files, with what Python's
// load_state_dict and step look up in a parameter group.

#ifndef ITERBIN_TORCH_OPTIMIZER_H_
#define ITERBIN_TORCH_OPTIMIZER_H_

#include "common/training/optimizer.h"
#include "common/training/value.h"

namespace altprop::iterbin {

// torch.optim.Adam's settings of a group beside rate, decay and parameters, at
// the defaults that the authors' program leaves them at.
training::Dict AdamSettings();

// The same of torch.optim.SGD.
training::Dict SgdSettings(double momentum);

// optimizer.State() with `settings` in each of its groups.
training::Value TorchState(const training::Optimizer& optimizer,
                           const training::Dict& settings);

}  // namespace altprop::iterbin

#endif  // ITERBIN_TORCH_OPTIMIZER_H_
