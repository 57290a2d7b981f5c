#!/usr/bin/env bash
#
# bench.sh: test/bench/run.sh with a build of this tree

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"
prepare test
BINDIR=$bindir exec test/bench/run.sh
