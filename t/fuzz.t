# A short run of every fuzz target; FITNUDGE_FUZZ_SECONDS makes it longer.
use strict;
use warnings;
use FindBin;

my $root = "$FindBin::Bin/..";
my $seconds = $ENV{FITNUDGE_FUZZ_SECONDS} // 5;

if (!-x "$FindBin::Bin/fuzz/run") {
    print "1..0 # SKIP there are no fuzz targets\n";
    exit 0;
}
exec "$FindBin::Bin/fuzz/run", $seconds, "$root/build/fuzz" or die "cannot run t/fuzz/run: $!\n";
