"""Counts test cases over several Bazel runs, from their build event files.

    count_tests.py EXTRA_PASSED EXTRA_FAILED [NAME=EVENTS.json...]

A googletest case counts as one, and so does a test that is a script. A target that
did not build, and a test that crashed or timed out, count as one failure each, which
is named. Prints `N passed, M failed`; exits with 1 if anything failed or nothing ran.
"""

import json
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree


def cases(path):
  """(passed, failed names) of one test.xml."""
  passed, failed = 0, []
  for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
    if case.get("status") == "notrun" or case.find("skipped") is not None:
      continue
    if case.find("failure") is not None or case.find("error") is not None:
      failed.append("%s.%s" % (case.get("classname", ""), case.get("name")))
    else:
      passed += 1
  return passed, failed


def local_path(uri):
  return urllib.request.url2pathname(urllib.parse.urlparse(uri).path)


def count(events):
  """(passed, failed names) of one Bazel run."""
  passed, failed = 0, []
  attempts = {}  # shards and retries: the last attempt of each shard counts
  for event in events:
    identity = event.get("id", {})
    if "testResult" in identity:
      key = (identity["testResult"]["label"], identity["testResult"].get("shard", 0))
      attempts[key] = event["testResult"]
    elif "targetCompleted" in identity:
      aborted = event.get("aborted", {}).get("reason", "")
      if aborted != "SKIPPED" and not event.get("completed", {}).get("success"):
        failed.append(identity["targetCompleted"]["label"] + " did not build")
    elif "pattern" in identity and "aborted" in event:
      failed.append("%s: %s" % (identity["pattern"], event["aborted"].get("description", "")))
  for (label, _), result in attempts.items():
    xmls = [o["uri"] for o in result.get("testActionOutput", []) if o.get("name") == "test.xml"]
    good, bad = 0, []
    try:
      good, bad = cases(local_path(xmls[0])) if xmls else (0, [])
    except (OSError, xml.etree.ElementTree.ParseError):
      pass
    ok = result.get("status") in ("PASSED", "FLAKY")
    if ok and not bad:
      passed += max(good, 1)
    else:
      passed += good
      failed += ["%s %s" % (label, name) for name in bad] or [
          "%s: %s" % (label, result.get("status", "no result"))]
  return passed, failed


def main(arguments):
  passed, failures = int(arguments[0]), int(arguments[1])
  for argument in arguments[2:]:
    name, path = argument.split("=", 1)
    with open(path) as file:
      good, bad = count(json.loads(line) for line in file if line.strip())
    print("%s: %d passed, %d failed" % (name, good, len(bad)))
    for line in bad:
      print("  FAILED %s %s" % (name, line))
    passed += good
    failures += len(bad)
  print("%d passed, %d failed" % (passed, failures))
  sys.exit(1 if failures or not passed else 0)


if __name__ == "__main__":
  main(sys.argv[1:])
