"""Reads Bazel's aquery (jsonproto) on stdin, writes compile_commands.json to stdout.

    compile_commands.py OUTPUT_BASE <aquery.json >compile_commands.json

Paths below external/ become absolute: the links in the execution root vanish with
the next build. Flags that clang does not know are dropped.
"""

import json
import os
import sys

_GCC_ONLY = {"-fno-canonical-system-headers", "-Wno-free-nonheap-object",
             "-Wunused-but-set-parameter"}


def absolute(argument, output_base):
  for prefix in ("", "-I", "-isystem", "-iquote"):
    if argument.startswith(prefix + "external/"):
      return prefix + os.path.join(output_base, argument[len(prefix):])
  return argument


def main():
  output_base = sys.argv[1]
  entries = {}
  for action in json.load(sys.stdin)["actions"]:
    arguments = action["arguments"]
    source = arguments[arguments.index("-c") + 1]
    if source.startswith("external/"):
      continue
    kept = [absolute(a, output_base) for a in arguments
            if a not in _GCC_ONLY and a != "-isystemtools/not_in_deps"]
    entries[source] = {"directory": os.getcwd(), "file": source, "arguments": kept}
  # One line for what identifies a compile: tools/lint looks entries up by text.
  print("[")
  print(",\n".join('{"file": "%s",\n "directory": %s, "arguments": %s}' %
                   (name, json.dumps(e["directory"]), json.dumps(e["arguments"]))
                   for name, e in sorted(entries.items())))
  print("]")


if __name__ == "__main__":
  main()
