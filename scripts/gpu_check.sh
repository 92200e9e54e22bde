#!/bin/sh
# Check the harness's GPU part with the frameworks that an interpreter has, and write a run folder.
#
#   scripts/gpu_check.sh [OUT] [--minutes N]
#
# PYTHON: the interpreter that runs the harness, python3 by default.
# HARNESS_TORCH_PYTHON: the interpreter that has PyTorch, the same by default.
#
# Needs no network and installs nothing. Exit code 0: nothing failed (what could not be checked is listed, with why);
# 1: a check failed; 2: something that the check needs is not there.
set -eu
exec "${PYTHON:-python3}" "$(dirname "$0")/gpu_check.py" "$@"
