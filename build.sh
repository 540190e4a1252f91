#!/usr/bin/env bash
# Builds, runs and tests FitNudge on Debian 12: ./build.sh help
set -euo pipefail

root=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
build=$root/build
jobs=$(nproc)

# Everything the project needs, to build, to run and to test.
packages=(
    nginx nginx-dev libpcre2-dev zlib1g-dev
    postgresql-15 postgresql-15-pgtap libtap-parser-sourcehandler-pgtap-perl
    redis-server redis-tools
    sqitch libdbd-pg-perl libdbi-perl
    libhiredis-dev libpq-dev libyajl-dev libcurl4-openssl-dev libssl-dev libcrypt-dev libxxhash-dev libbrotli-dev libicu-dev
    check libsubunit-dev
    perl libmojolicious-perl libev-perl libemail-mime-perl exim4-daemon-light
    gcc libc6-dev make pkg-config
    clang libclang-rt-14-dev clang-tidy cppcheck shellcheck git
    wrk curl jq brotli openssl ca-certificates util-linux iproute2
)

say() { printf '==> %s\n' "$*"; }
die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }


usage() {
    cat <<'END'
./build.sh deps                     installs the Debian packages that are missing
./build.sh build [--asan]           builds the module, the pool and fitnudgectl into build/ (build/asan/)
./build.sh run [--detach]           brings up the whole system on this machine
./build.sh stop                     ends what run --detach started
./build.sh test [--asan] [files]    runs everything that proves the project, or the given test files
./build.sh bench [name]             measures: reads, checkins, generate, ceilings or all
./build.sh soak                     an hour of mixed load: does anything grow, break or complain?
./build.sh clean                    stops, and removes build/ and .run/ with its data

Environment of run: FITNUDGE_PORT (8080), FITNUDGE_ADDRESS (127.0.0.1), FITNUDGE_RUN (.run), DATABASE_URL, DATABASE_REPLICA_URL,
REDIS_URL, JWT_SECRET_KEY, CSRF_SECRET_KEY, OPENAI_API_KEY, OPENAI_BASE_URL, and those of other services
(docs/providers.md).  Of bench: BENCH_SECONDS (10).
Of soak: SOAK_SECONDS (3600), SOAK_REQUESTS (24000000), and what t/soak/soak says.
END
}


# --- deps -----------------------------------------------------------------------------------------

missing_packages() {
    # dpkg-query says installed packages only; what is left of the list is missing
    { dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true; } \
        | awk '$2 == "installed" { print $1 }' \
        | grep -vxFf - <(printf '%s\n' "${packages[@]}") || true
}

cleanup_files=()
cleanup() { [[ ${#cleanup_files[@]} -eq 0 ]] || as_root rm -f -- "${cleanup_files[@]}"; }
as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi; }

deps() {
    local missing id version

    if ! command -v dpkg-query >/dev/null; then
        die "this needs Debian 12 (bookworm), or a system with these packages: ${packages[*]}"
    fi

    # Debian has one mail server at a time: that of the tests must not take the place of another
    if command -v sendmail >/dev/null && ! command -v exim4 >/dev/null; then
        mapfile -t packages < <(printf '%s\n' "${packages[@]}" | grep -vx exim4-daemon-light)
    fi
    mapfile -t missing < <(missing_packages)
    [[ ${#missing[@]} -gt 0 ]] || return 0

    # shellcheck source=/dev/null
    id=$(. /etc/os-release && printf '%s' "${ID:-}")
    # shellcheck source=/dev/null
    version=$(. /etc/os-release && printf '%s' "${VERSION_ID:-}")
    if [[ $id != debian || $version != 12 ]]; then
        die "this needs Debian 12 (bookworm); here is $id $version, without: ${missing[*]}"
    fi
    if [[ $EUID -ne 0 ]] && ! command -v sudo >/dev/null; then
        die "run as root: apt-get install --no-install-recommends ${missing[*]}"
    fi

    say "installing ${#missing[@]} packages: ${missing[*]}"
    trap cleanup EXIT

    # The services of the packages must not start: the project runs its own.
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        cleanup_files+=(/usr/sbin/policy-rc.d)
        printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
        as_root chmod 755 /usr/sbin/policy-rc.d
    fi
    # No cluster of Debian's own; a configuration that is already there decides for itself.
    if [[ ! -e /etc/postgresql-common/createcluster.conf ]]; then
        as_root mkdir -p /etc/postgresql-common/createcluster.d
        cleanup_files+=(/etc/postgresql-common/createcluster.d/fitnudge.conf)
        printf 'create_main_cluster = false\n' | as_root tee /etc/postgresql-common/createcluster.d/fitnudge.conf >/dev/null
    fi

    mkdir -p "$build"
    if ! { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update \
           && as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confold \
                  install --no-install-recommends "${missing[@]}"; } > "$build/deps.log" 2>&1
    then
        tail -n 30 "$build/deps.log" >&2
        die "the packages could not be installed: see $build/deps.log"
    fi
    cleanup
    cleanup_files=()
}


# --- build ----------------------------------------------------------------------------------------

# step <what> <command...>: quiet unless it fails
step() {
    local what=$1 log=$build/log
    shift
    say "$what"
    if ! "$@" > "$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "$what: failed; the whole output is in $log"
    fi
}

configure_module() {
    local out=$1 nginx_src=$build/nginx-src
    shift
    local -a NGX_CONF_FLAGS=()
    # shellcheck source=/dev/null
    . /usr/share/nginx/src/conf_flags

    mkdir -p "$out"
    rm -rf -- "$nginx_src.new"
    cp -rL /usr/share/nginx/src "$nginx_src.new"
    rm -rf -- "$nginx_src"
    mv -- "$nginx_src.new" "$nginx_src"
    (cd -- "$nginx_src" && ./configure "${NGX_CONF_FLAGS[@]}" --add-dynamic-module="$root" --builddir="$out" "$@")
}

build_module() {
    local out=$1 objs=$1/nginx key
    shift

    # what configure looks at: nginx, our file and the sources that it lists
    key=$(dpkg-query -W -f='${Version}' nginx-dev
          cat -- "$root/config"
          printf '%s\n' "$root"/ngx_fitnudge_module/*.[ch] "$root"/worker/libfitnudge/*.[ch] "$@")
    if [[ ! -e $objs/Makefile || $(cat "$objs/key" 2>/dev/null) != "$key" ]]; then
        rm -rf -- "$objs"
        step "configuring the module" configure_module "$objs" "$@"
        printf '%s\n' "$key" > "$objs/key"
    fi
    step "building the module" make -C "$build/nginx-src" -f "$objs/Makefile" -j"$jobs" modules
    if ! cmp -s "$objs/ngx_fitnudge_module.so" "$out/ngx_fitnudge_module.so"; then
        cp -f --remove-destination -- "$objs/ngx_fitnudge_module.so" "$out/ngx_fitnudge_module.so"
    fi
}

build_plain() {
    # as Debian builds its own programs
    local cflags='-O2 -g -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2' ldflags='-Wl,-z,relro -Wl,-z,now'
    mkdir -p "$build"
    build_module "$build" --with-cc-opt="$cflags" --with-ld-opt="$ldflags"
    step "building the pool" make -C "$root/worker" -j"$jobs" BUILD="$build" CFLAGS="$cflags" LDFLAGS="$ldflags"
}

build_asan() {
    local sanitize='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1'
    mkdir -p "$build/asan"
    build_module "$build/asan" --with-cc-opt="$sanitize" --with-ld-opt='-fsanitize=address,undefined'
    step "building the pool with sanitizers" make -C "$root/worker" -j"$jobs" BUILD="$build/asan" SAN=1
}

# The pool with its fault points, for the tests that kill it.
build_faults() {
    mkdir -p "$build/faults"
    step "building the pool with fault points" make -C "$root/worker" -j"$jobs" BUILD="$build/faults" FAULTS=1
}

# One build at a time in a checkout.
with_lock() {
    mkdir -p "$build"
    (
        flock 9
        "$@"
    ) 9> "$build/lock"
}

cmd_build() {
    case ${1:-} in
        '') deps; with_lock build_plain ;;
        --asan) deps; with_lock build_asan ;;
        *) die "build knows --asan only" ;;
    esac
}


# --- run ------------------------------------------------------------------------------------------

# The run directory.  As root the services run as www-data, who must be able to get there.
run_dir() {
    local dir=${FITNUDGE_RUN:-$root/.run} far

    if [[ -z ${FITNUDGE_RUN:-} && $EUID -eq 0 && ! -L $dir ]] && ! setpriv --reuid=www-data --regid=www-data --clear-groups test -x "$root" 2>/dev/null; then
        far=/var/tmp/fitnudge-$(printf '%s' "$root" | sha256sum | cut -c1-12)
        if [[ -e $far && ( -L $far || ! -O $far ) ]]; then
            die "$far exists and is not ours: remove it"
        fi
        mkdir -p -- "$far"
        chmod 0755 -- "$far"
        ln -s -- "$far" "$dir"
    fi
    mkdir -p -- "$dir/log"
    (cd -P -- "$dir" && pwd -P)
}

cmd_run() {
    local detach=() dir

    case ${1:-} in
        '') ;;
        --detach) detach=(--detach) ;;
        *) die "run knows --detach only" ;;
    esac
    dir=$(run_dir)
    deps
    if ! "$root/t/lib/supervise" status "$dir"; then
        with_lock build_plain
        say "starting"
    fi
    exec "$root/t/lib/supervise" run "${detach[@]}" "$dir"
}

cmd_stop() {
    [[ -d ${FITNUDGE_RUN:-$root/.run} ]] || { printf 'FitNudge is not running.\n'; return; }
    "$root/t/lib/supervise" stop "$(run_dir)"
}

cmd_clean() {
    cmd_stop
    if [[ -L $root/.run ]]; then
        rm -rf -- "$(readlink -f "$root/.run")"
    fi
    rm -rf -- "$root/.run" "$build"
}


# --- test and bench -------------------------------------------------------------------------------

cmd_test() {
    local asan=0 files=() list

    while [[ $# -gt 0 ]]; do
        case $1 in
            --asan) asan=1 ;;
            -*) die "test knows --asan and file names only" ;;
            *) files+=("$(readlink -f -- "$1")") ;;
        esac
        shift
    done

    deps
    with_lock build_plain
    with_lock build_asan
    with_lock build_faults
    cd -- "$root"

    if [[ ${#files[@]} -eq 0 ]]; then
        with_lock step "building the unit tests" make -C t/unit -j"$jobs" BUILD="$build" check-build
        with_lock step "building the unit tests with sanitizers" make -C t/unit -j"$jobs" BUILD="$build/asan" SAN=1 check-build
        list=$(list_tests)
        mapfile -t files <<< "$list"
    fi
    with_lock step "building the fakes" make -C t/fakes BUILD="$build"
    with_lock client_tools

    FITNUDGE_ASAN=$asan exec prove -j2 --timer -I t/lib "${files[@]}"
}

# npm packages of the test that generates a client. Without them, and without a registry, that test is skipped.
client_tools() {
    local lock=t/client/package-lock.json out=$build/client
    ! cmp -s "$lock" "$out/node_modules/.from" || return 0

    mkdir -p "$out"
    cp t/client/package.json "$lock" "$out/"
    say "installing the npm packages of t/client"
    if command -v npm >/dev/null && timeout 120 npm ci --prefix "$out" --no-audit --no-fund --fetch-retries=1 > "$build/npm.log" 2>&1; then
        cp "$lock" "$out/node_modules/.from"
    else
        say "they could not be installed (see $build/npm.log); t/74-client.t is skipped"
        rm -rf -- "$out/node_modules"
    fi
}

# Longest first, since two run at a time.
list_tests() {
    local file
    for file in t/fuzz.t t/asan.t t/sql.t t/static.t t/run.t; do
        [[ ! -e $file ]] || printf '%s\n' "$file"
    done
    for file in t/*.t; do
        case $file in t/fuzz.t|t/asan.t|t/sql.t|t/static.t|t/run.t) ;; *) printf '%s\n' "$file" ;; esac
    done
    find "$build/unit" "$build/asan/unit" -maxdepth 1 -type f -perm -u+x | sort
}

cmd_bench() {
    deps
    with_lock build_plain
    with_lock step "building the fakes" make -C "$root/t/fakes" BUILD="$build"
    exec "$root/t/bench/bench" "${@:-all}"
}


cmd_soak() {
    deps
    with_lock build_plain
    if [[ -n ${SOAK_ASAN:-} ]]; then
        with_lock build_asan
    fi
    exec "$root/t/soak/soak"
}


main() {
    local command=${1:-help}
    [[ $# -eq 0 ]] || shift

    # nginx's configure and make split their paths at spaces
    if [[ $root =~ [^A-Za-z0-9_./+,@%=:~-] ]]; then
        die "the path of this checkout must not contain spaces or special characters: $root"
    fi

    case $command in
        deps) deps ;;
        build) cmd_build "$@" ;;
        run) cmd_run "$@" ;;
        stop) cmd_stop ;;
        test) cmd_test "$@" ;;
        bench) cmd_bench "$@" ;;
        soak) cmd_soak ;;
        clean) cmd_clean ;;
        help|-h|--help) usage ;;
        *) usage >&2; exit 2 ;;
    esac
}

main "$@"
