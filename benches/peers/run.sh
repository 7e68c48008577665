#!/usr/bin/env bash
# Measures the same question with openmined-psi, with anonlink and with this program, in one run:
#   benches/peers/run.sh target/release/wayhome [--held N] [--asked N] [--runs N]
# The first two are installed from PyPI into a virtual environment beside the target directory.
set -euo pipefail
wayhome=$(realpath "${1:?which wayhome binary?}")
shift
here=$(cd "$(dirname "$0")" && pwd)
environment=${PEERS_VENV:-$here/../../target/peers-venv}
if [ ! -x "$environment/bin/python" ]; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet openmined-psi==2.0.6 anonlink==0.15.3 clkhash==0.18.3
fi
exec "$environment/bin/python" "$here/measure.py" "$wayhome" "$@"
