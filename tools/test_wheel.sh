#!/bin/bash
# Run the whole suite against the wheel in dist/, on each Python that it is for.
#
#     tools/test_wheel.sh [arguments for pytest]
#
# WHEEL_PYTHONS names the versions, "3.11 3.12 3.13" unless set. Each gets a fresh virtual environment with that one wheel in
# it. An interpreter is looked for on PATH and among pyenv's; one that can't be found is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."

versions=${WHEEL_PYTHONS:-3.11 3.12 3.13}
wheel=$(ls -t dist/*.whl 2>/dev/null | head -1)
[ -n "$wheel" ] || {
    echo "test-wheel: there is no wheel in dist/; make wheel makes one" >&2
    exit 1
}

# pyenv puts commands on PATH for versions that are not switched on, and these fail: only one that runs counts.
find_python() {
    local version=$1 candidate
    for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python \
        "$(pyenv root 2>/dev/null)"/versions/"$version".*/bin/python; do
        if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$version" ]; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

run_suite() {
    local version=$1 venv=$PWD/build/test-wheel/$1 python
    shift
    python=$(find_python "$version") || {
        echo "Python $version was not found: install it, or say in WHEEL_PYTHONS which versions there are"
        return 1
    }
    rm -rf "$venv"
    "$python" -m venv "$venv" || return
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --upgrade 'pip>=25.1' || return
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --group build --group test "$wheel" || return
    # The package under test is the installed one, not the source tree beside the tests.
    "$venv/bin/python" -c 'import nngio, sys; sys.exit("site-packages" not in nngio.__file__ and nngio.__file__)' || return
    "$venv/bin/python" -m pytest -n auto --dist worksteal "$@"
}

mkdir -p build/test-wheel
closing=()
failed=0
for version in $versions; do
    echo "== $(basename "$wheel") on Python $version"
    log=build/test-wheel/$version.log
    run_suite "$version" "$@" 2>&1 | tee "$log" || failed=1
    closing+=("Python $version: $(tail -n 1 "$log")")
done
printf '\n'
printf '%s\n' "${closing[@]}"
exit "$failed"
