#ifndef COMMON_TRAINING_MEMORY_H_
#define COMMON_TRAINING_MEMORY_H_

namespace altprop::training {

// Keeps freed blocks of up to 32 MiB (the most that glibc allows) in the
// process. By default glibc gives them back to the system, and the next tensor
// of the size takes them anew, zeroed page by page: for layers that only read
// and write their input that is most of the time. A process then keeps the most
// memory it ever used.
void KeepFreedMemory();

}  // namespace altprop::training

#endif  // COMMON_TRAINING_MEMORY_H_
