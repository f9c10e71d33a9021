#!/usr/bin/env bash
# Rebuilds every module of this folder from its sources: `build.sh [--install] [--out DIR]`.
#
# Needs Debian's (or Ubuntu's) own compilers, so that everybody gets the same bytes; `--install` fetches them with
# apt-get. Without it nothing is installed. A rustup toolchain is not touched and not used.
set -euo pipefail
cd "$(dirname "$0")"

PACKAGES="rustc libstd-rust-dev-wasm32 lld-14 clang-14 wasi-libc libclang-rt-14-dev-wasm32 llvm-14"
RUSTC=${WEFT_WASM_RUSTC:-/usr/bin/rustc}
CLANG=${WEFT_WASM_CLANG:-clang-14}
STRIP=${WEFT_WASM_STRIP:-llvm-strip-14}

# Functions have no imports; commands have WASI. SIMD where loops over bytes or floats can use it.
FUNCTIONS="tiles word-count monte-carlo checksum echo spin trap hoard bulk loops"
BARE="noop"
COMMANDS="lines exit files tally"
C_COMMANDS="caesar"
SIMD="tiles checksum word-count loops"
# Those that move many bytes: a copy is one instruction.
COPIES="bulk"

main() {
    local out=.
    while [ $# -gt 0 ]; do
        case $1 in
        --install) install ;;
        --out) out=${2:?--out needs a directory}; shift ;;
        *) echo "usage: build.sh [--install] [--out DIR]" >&2; exit 2 ;;
        esac
        shift
    done
    if ! has_compilers; then
        echo "no wasm compiler here: run '$0 --install', or apt-get install --no-install-recommends $PACKAGES" >&2
        exit 1
    fi
    mkdir -p "$out"
    out=$(cd "$out" && pwd)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    build_all "$out"
}

install() {
    apt-get update
    # shellcheck disable=SC2086  # a list of words
    apt-get install --yes --no-install-recommends $PACKAGES
}

has_compilers() {
    local tool target
    for tool in "$RUSTC" rust-lld wasm-ld-14 "$CLANG" "$STRIP"; do
        command -v "$tool" >/dev/null || return 1
    done
    for target in wasm32-unknown-unknown wasm32-wasi; do
        ls "$("$RUSTC" --print sysroot 2>/dev/null)/lib/rustlib/$target/lib/"libstd-*.rlib >/dev/null 2>&1 || return 1
    done
}

build_all() {
    local out=$1 name
    rust rlib weft_guest ../sdk/guest/src/lib.rs "$scratch/libweft_guest.rlib" -C opt-level=3 -C panic=abort
    for name in $FUNCTIONS; do
        module "$name" "$out/$name.wasm" --extern "weft_guest=$scratch/libweft_guest.rlib"
    done
    for name in $BARE; do
        module "$name" "$out/$name.wasm" -C link-arg=-zstack-size=1024
    done
    for name in $COMMANDS; do
        TARGET=wasm32-wasi rust bin "$name" "$name/src/main.rs" "$out/$name.wasm" \
            -C opt-level=3 -C lto -C panic=abort -C strip=symbols
    done
    for name in $C_COMMANDS; do
        "$CLANG" --target=wasm32-wasi -O2 -Wall -Wextra -Werror "-ffile-prefix-map=$PWD=." \
            -Wl,--strip-all "$name/main.c" -o "$out/$name.wasm"
    done
    for name in $FUNCTIONS $BARE $COMMANDS $C_COMMANDS; do
        "$STRIP" --strip-all "$out/$name.wasm"
        chmod 644 "$out/$name.wasm"
        printf '%8d  %s\n' "$(stat -c %s "$out/$name.wasm")" "$name.wasm"
    done
}

# A function module: `module NAME OUT ARGS..`
module() {
    local name=$1 out=$2
    shift 2
    case " $SIMD " in *" $name "*) set -- "$@" -C target-feature=+simd128 ;; esac
    case " $COPIES " in *" $name "*) set -- "$@" -C target-feature=+simd128,+bulk-memory ;; esac
    rust cdylib "${name//-/_}" "$name/src/lib.rs" "$out" -C opt-level=3 -C lto -C panic=abort -C strip=symbols "$@"
}

# `rust CRATE_TYPE CRATE SOURCE OUT ARGS..`: no path of this machine may get into the output.
rust() {
    local type=$1 crate=$2 source=$3 out=$4
    shift 4
    "$RUSTC" --edition 2021 --target "${TARGET:-wasm32-unknown-unknown}" --crate-type "$type" --crate-name "$crate" \
        -C codegen-units=1 -C metadata="weft-$crate" -D warnings \
        --remap-path-prefix "$PWD=wasm-tasks" --remap-path-prefix "$(dirname "$PWD")=weft" \
        --remap-path-prefix "$HOME=home" "$@" "$source" -o "$out"
}

main "$@"
