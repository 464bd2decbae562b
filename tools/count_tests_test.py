"""count_tests.py counts cases, scripts, crashes and targets that did not build."""

import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import count_tests  # pylint: disable=wrong-import-position

TWO_CASES = """<testsuites><testsuite>
  <testcase name="A" classname="S" status="run"/>
  <testcase name="B" classname="S" status="run">%s</testcase>
</testsuite></testsuites>"""


def result(label, status, xml_path):
  return {"id": {"testResult": {"label": label}},
          "testResult": {"status": status,
                         "testActionOutput": [{"name": "test.xml", "uri": "file://" + xml_path}]}}


class CountTest(unittest.TestCase):

  def setUp(self):
    self.folder = tempfile.TemporaryDirectory()
    self.addCleanup(self.folder.cleanup)

  def xml(self, text):
    path = os.path.join(self.folder.name, "test.xml")
    with open(path, "w") as file:
      file.write(text)
    return path

  def test_each_case_of_a_passing_test_counts(self):
    path = self.xml(TWO_CASES % "")
    self.assertEqual(count_tests.count([result("//a:t", "PASSED", path)]), (2, []))

  def test_a_failing_case_is_named_and_its_neighbour_counts(self):
    path = self.xml(TWO_CASES % "<failure/>")
    self.assertEqual(count_tests.count([result("//a:t", "FAILED", path)]), (1, ["//a:t S.B"]))

  def test_a_skipped_case_is_not_counted(self):
    path = self.xml(TWO_CASES % "<skipped/>")
    self.assertEqual(count_tests.count([result("//a:t", "PASSED", path)]), (1, []))

  def test_a_script_counts_as_one(self):
    path = self.xml('<testsuites><testsuite><testcase name="t"/></testsuite></testsuites>')
    self.assertEqual(count_tests.count([result("//a:t", "PASSED", path)]), (1, []))

  def test_a_crash_without_cases_is_a_failure(self):
    missing = os.path.join(self.folder.name, "none.xml")
    self.assertEqual(count_tests.count([result("//a:t", "TIMEOUT", missing)]), (0, ["//a:t: TIMEOUT"]))

  def test_a_crash_after_good_cases_is_a_failure(self):
    path = self.xml(TWO_CASES % "")
    self.assertEqual(count_tests.count([result("//a:t", "FAILED", path)]), (2, ["//a:t: FAILED"]))

  def test_a_target_that_did_not_build_is_a_failure(self):
    event = {"id": {"targetCompleted": {"label": "//a:b"}}, "completed": {}}
    self.assertEqual(count_tests.count([event]), (0, ["//a:b did not build"]))
    event["completed"] = {"success": True}
    self.assertEqual(count_tests.count([event]), (0, []))

  def test_the_last_attempt_counts(self):
    path = self.xml(TWO_CASES % "")
    events = [result("//a:t", "FAILED", path), result("//a:t", "FLAKY", path)]
    self.assertEqual(count_tests.count(events), (2, []))


if __name__ == "__main__":
  unittest.main()
