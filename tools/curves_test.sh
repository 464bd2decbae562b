#!/bin/bash
exec python3 "$(dirname "$0")/curves_test.py"
