#!/bin/bash
exec python3 "$(dirname "$0")/bump_test.py"
