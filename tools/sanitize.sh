#!/bin/bash
# Run the suite under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer, and the C tests under ThreadSanitizer.
#
#     tools/sanitize.sh [--short] [arguments for pytest]
#
# --short leaves out what takes longest and says little here: other programs as peers, and hundreds of processes. The sanitized
# extension is built in a copy of the tree, build/sanitize/tree, so nothing else notices. It needs gcc with its libasan, libubsan and
# libtsan, which Debian has in libgcc-12-dev, a part of gcc. NNGIO_SANITIZED=1 tells tests that they run here.
set -uo pipefail
cd "$(dirname "$0")/.."

short=
if [ "${1:-}" = --short ]; then
    short=1
    shift
fi
python=$PWD/.venv/bin/python
[ -x "$python" ] || { echo "sanitize: there is no .venv; make sanitize makes it" >&2; exit 1; }
folder=$PWD/build/sanitize
tree=$folder/tree
settings=$PWD/tools/sanitizers
mkdir -p "$tree"

# The tree as it is now; what was built in it stays, and NNG's unpacked sources come along.
find "$tree" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
git ls-files -co --exclude-standard -z | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh |
    tar --null -T - -cf - | tar -C "$tree" -xf -
for source in nng_src/nng-* nng_src/mbedtls-*; do
    [ ! -d "$source" ] || cp -r "$source" "$tree/nng_src/"
done
cd "$tree"
git init -q -b main . # some tests ask git what belongs to the project

failed=0

echo "sanitize: building with AddressSanitizer and UndefinedBehaviorSanitizer"
NNGIO_SANITIZE=address,undefined "$python" setup.py -q build_ext --inplace >"$folder/build.log" 2>&1 ||
    { tail -20 "$folder/build.log" >&2; exit 1; }

tests=()
if [ -n "$short" ]; then
    for test in test_packaging test_sources test_declarations test_examples test_interop_nngcat test_interop_nanocat test_shim test_memory; do
        tests+=(--ignore="tests/$test.py")
    done
else
    # Built without sanitizers, or about the plain build itself.
    tests+=(--ignore=tests/test_packaging.py --ignore=tests/test_sources.py --ignore=tests/test_shim.py)
fi
(
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
    export LD_PRELOAD
    export ASAN_OPTIONS="detect_leaks=${NNGIO_LEAKS:-1}:allocator_may_return_null=1:detect_stack_use_after_return=0:intercept_tls_get_addr=0:log_path=$folder/report"
    # The interceptor takes some of glibc's blocks for those of another version, and LeakSanitizer crashes on what it finds there.
    export LSAN_OPTIONS="suppressions=$settings/lsan.supp:print_suppressions=0:exitcode=23"
    export UBSAN_OPTIONS="suppressions=$settings/ubsan.supp:print_stacktrace=1:halt_on_error=1:log_path=$folder/report"
    export PYTHONMALLOC=malloc NNGIO_SANITIZED=1 NNGIO_RACES="${NNGIO_RACES:-100}" NNGIO_STORM="${NNGIO_STORM:-3000}"
    export PYTHONPATH="$tree/src"
    rm -f "$folder"/report.*
    "$python" -m pytest -n auto --dist worksteal -p no:cacheprovider --timeout 180 "${tests[@]}" "$@"
) || failed=1
# Reports of any process that the suite has started, and of its own exit.
if compgen -G "$folder/report.*" >/dev/null; then
    echo "sanitize: what the sanitizers reported:"
    cat "$folder"/report.* | head -200
    grep -qlE 'ERROR: (Address|Leak)Sanitizer|runtime error' "$folder"/report.* && failed=1
fi

echo "sanitize: the C tests under ThreadSanitizer"
NNGIO_SANITIZE=thread "$python" tests/c/build.py "$folder/tsan" >"$folder/tsan.list" 2>"$folder/tsan.log" ||
    { tail -20 "$folder/tsan.log" >&2; exit 1; }
while read -r program; do
    if TSAN_OPTIONS="suppressions=$settings/tsan.supp:halt_on_error=1:second_deadlock_stack=1" NNGIO_C_PERCENT="${NNGIO_C_PERCENT:-10}" \
        timeout 300 "$program" >"$program.out" 2>&1; then
        echo "sanitize: $(basename "$program"): clean"
    else
        echo "sanitize: $(basename "$program"): FAILED"
        tail -60 "$program.out"
        failed=1
    fi
done <"$folder/tsan.list"
[ "$failed" = 0 ] && echo "sanitize: all clean"
exit "$failed"
