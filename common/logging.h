// glog, to stderr, for the whole repository: LOG, CHECK*, DCHECK*, VLOG.
//
// LibTorch's c10/util/Logging.h defines macros of the same names, and many of
// its headers include it: whichever comes last would silently win. Include this
// header instead of either; it takes c10's first, drops those names and lets
// glog define them, so the order of includes does not matter. TORCH_CHECK and
// TORCH_WARN are untouched.
//
// CHECK is for our own mistakes. What a user can cause is an absl::Status
// (common/status.h). `cli::Main` sets glog up.
#ifndef COMMON_LOGGING_H_
#define COMMON_LOGGING_H_

#include <c10/util/Logging.h>

#undef CHECK
#undef CHECK_EQ
#undef CHECK_NE
#undef CHECK_LE
#undef CHECK_LT
#undef CHECK_GE
#undef CHECK_GT
#undef CHECK_NOTNULL
#undef DCHECK
#undef DCHECK_EQ
#undef DCHECK_NE
#undef DCHECK_LE
#undef DCHECK_LT
#undef DCHECK_GE
#undef DCHECK_GT
#undef DCHECK_NOTNULL
#undef DLOG
#undef LOG
#undef LOG_IF
#undef VLOG
#undef VLOG_IF
#undef VLOG_IS_ON

#include <glog/logging.h>  // IWYU pragma: export

#endif  // COMMON_LOGGING_H_
