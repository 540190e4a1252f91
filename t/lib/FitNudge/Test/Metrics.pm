# Prometheus' text format 0.0.4, read without mercy.
package FitNudge::Test::Metrics;
use Mojo::Base -strict, -signatures;

use Exporter qw(import);

our @EXPORT = qw(parse_metrics);

my $NAME = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $LABEL = qr/[a-zA-Z_][a-zA-Z0-9_]*/;
my $VALUE = qr/[+-]?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Inf)|NaN/;

# (families, errors): { name => { type, help, samples => { 'name{a="b"}' => value }, labels => { key => { value => 1 } } } }
sub parse_metrics ($text) {
    my (%family, @bad, $now, %closed);

    push @bad, 'the last line does not end' if $text !~ /\n\z/;
    for my $line (split /\n/, $text) {
        if ($line =~ /\A# (HELP|TYPE) ($NAME) (.+)\z/) {
            my ($what, $name, $rest) = ($1, $2, $3);
            if ($what eq 'HELP') {
                push @bad, "$name: HELP twice" if $family{$name};
                push @bad, "$name: escapes in HELP" if $rest =~ /\\(?![\\n])/;
                $closed{$now} = 1 if defined $now;
                $now = $name;
                $family{$name} = { help => $rest, samples => {}, labels => {} };
            }
            else {
                push @bad, "$name: TYPE outside its family" if ($now // '') ne $name;
                push @bad, "$name: TYPE twice" if $family{$name}{type};
                push @bad, "$name: TYPE after samples" if %{ $family{$name}{samples} };
                push @bad, "$name: unknown type $rest" if $rest !~ /\A(?:counter|gauge|histogram)\z/;
                $family{$name}{type} = $rest;
            }
            next;
        }
        my ($name, $labels, $value) = $line =~ /\A($NAME)(?:\{(.*)\})? ($VALUE)\z/ or do { push @bad, "malformed: $line"; next };
        my $f = $family{ $now // '' } or do { push @bad, "no family: $line"; next };
        my $suffix = $name eq $now ? '' : $name =~ /\A\Q$now\E(_bucket|_sum|_count)\z/ && $f->{type} eq 'histogram' ? $1 : undef;
        defined $suffix or do { push @bad, "sample of another family in $now: $line"; next };

        my %l;
        if (defined $labels) {
            my $rest = $labels;
            while ($rest =~ s/\A($LABEL)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|\z)//) {
                push @bad, "label $1 twice: $line" if exists $l{$1};
                $l{$1} = $2;
            }
            push @bad, "malformed labels: $line" if $rest ne '' || $labels =~ /,\z/ || $labels eq '';
        }
        my $series = $name . '{' . join(',', map { "$_=\"$l{$_}\"" } sort keys %l) . '}';
        push @bad, "twice: $series" if exists $f->{samples}{$series};
        $f->{samples}{$series} = $value;
        $f->{labels}{$_}{ $l{$_} } = 1 for keys %l;
        push @{ $f->{list} }, [$suffix, \%l, $value];
    }

    for my $name (sort keys %family) {
        my $f = $family{$name};
        push @bad, "$name: no type" if !$f->{type};
        next if !$f->{type};
        push @bad, "$name: " . ($f->{type} eq 'counter' ? 'a counter ends in _total' : 'only a counter ends in _total')
            if ($f->{type} eq 'counter') != ($name =~ /_total\z/);
        push @bad, "$name: a counter is a whole number" if $f->{type} eq 'counter' && grep { !/\A\d+\z/ } values %{ $f->{samples} };
        push @bad, _histogram($name, $f) if $f->{type} eq 'histogram';
    }
    return (\%family, \@bad);
}

sub _histogram ($name, $f) {
    my (%of, @bad);
    for my $sample (@{ $f->{list} // [] }) {
        my ($suffix, $l, $value) = @$sample;
        my %rest = %$l;
        my $le = delete $rest{le};
        my $h = $of{ join ',', map { "$_=$rest{$_}" } sort keys %rest } //= { buckets => [] };
        push @bad, "$name: le on $suffix" if defined $le && $suffix ne '_bucket';
        if ($suffix eq '_bucket') { push @{ $h->{buckets} }, [$le, $value] }
        elsif ($suffix eq '') { push @bad, "$name: a bare sample" }
        else { $h->{$suffix} = $value }
    }
    for my $key (sort keys %of) {
        my $h = $of{$key};
        my @b = @{ $h->{buckets} };
        push @bad, "$name\{$key}: sum or count is missing" if !defined $h->{_sum} || !defined $h->{_count};
        push @bad, "$name\{$key}: the last bucket is not +Inf" if !@b || $b[-1][0] ne '+Inf';
        for my $i (1 .. $#b) {
            push @bad, "$name\{$key}: boundaries do not rise at $b[$i][0]" if $b[$i][0] ne '+Inf' && $b[$i][0] <= $b[ $i - 1 ][0];
            push @bad, "$name\{$key}: buckets are not cumulative at $b[$i][0]" if $b[$i][1] < $b[ $i - 1 ][1];
        }
        push @bad, "$name\{$key}: +Inf is not the count" if @b && ($h->{_count} // -1) != $b[-1][1];
    }
    return @bad;
}

1;
