#!/bin/bash
# tools/bazel chooses the rc file by Bazel's version, and refuses one without WORKSPACE.
# The Bazels here are stand-ins: text files without `#!`, which print what they got.
set -uo pipefail
cd "$(dirname "$0")"
failed=0

# A stand-in for Bazel of version $1. It is run by a shell, hence the ENOEXEC way.
bazel="$TEST_TMPDIR/bazel"
stand_in() {
  printf 'if [ "$1" = --version ]; then echo "bazel %s"; else echo "$@"; fi\n' "$1" >"$bazel"
  chmod +x "$bazel"
}
expect() {  # expect WHAT PATTERN OUTPUT
  if [[ $3 =~ $2 ]]; then
    echo "ok: $1"
  else
    echo "FAILED: $1: got: $3"
    failed=1
  fi
}

# The wrapper looks for a compiler and pip; stand-ins keep the test off the machine's.
mkdir -p "$TEST_TMPDIR/bin"
printf '#!/bin/sh\n' | tee "$TEST_TMPDIR/bin/g++" >"$TEST_TMPDIR/bin/python3"
chmod +x "$TEST_TMPDIR/bin/"*
export PATH="$TEST_TMPDIR/bin:/usr/bin:/bin" BAZEL_REAL="$bazel"

stand_in 4.2.3
expect "Bazel 4 gets its rc file" 'bazelrc/bazel4\.bazelrc build x$' "$(./bazel build x 2>&1)"
stand_in 7.7.1
expect "Bazel 7 gets its rc file" 'bazelrc/bazel7\.bazelrc build x$' "$(./bazel build x 2>&1)"
stand_in 8.0.0
output="$(./bazel build x 2>&1)" && status=0 || status=$?
expect "Bazel 8 is refused in one line" '^[^'$'\n'']*Bazel 8, which reads no WORKSPACE[^'$'\n'']*$' "$output"
expect "and the exit status says so" '^1$' "$status"
stand_in 9.1.0
expect "Bazel 9 is refused" 'Bazel 9, which reads no WORKSPACE' "$(./bazel build x 2>&1)"

# The rc files that it names are there.
for file in bazelrc/bazel4.bazelrc bazelrc/bazel7.bazelrc; do
  [[ -f $file ]] || { echo "FAILED: no $file" && failed=1; }
done
exit "$failed"
