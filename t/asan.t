# The tests that are hardest on memory, again on the build with ASan and UBSan: hostile input, tokens, sign-in, limits, the cache, reloads and aborts,
# lost and doubted connections.
use strict;
use warnings;
use FindBin;
use Test::More;

plan skip_all => 'the whole run uses sanitizers' if $ENV{FITNUDGE_ASAN};

local $ENV{FITNUDGE_ASAN} = 1;

for my $file (qw(01-smoke.t 10-auth.t 11-tokens.t 12-jwks.t 14-key-pairs.t 30-bad-input.t 34-limits.t 36-cache.t 41-reload.t 42-pools.t)) {
    my $out = `'$^X' -I'$FindBin::Bin/lib' '$FindBin::Bin/$file' 2>&1`;
    is($?, 0, "$file with sanitizers") or diag($out);
}

done_testing;
