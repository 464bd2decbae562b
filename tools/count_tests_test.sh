#!/bin/bash
exec python3 "$(dirname "$0")/count_tests_test.py"
