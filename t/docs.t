# docs/directives.md says all there is to set, with the defaults the programs have, and nothing more.
use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use Test::More;

my $root = abs_path("$FindBin::Bin/..");

sub slurp { open my $f, '<', $_[0] or die "cannot read $_[0]: $!\n"; local $/; scalar <$f> }

# sections: name => { Syntax, Default, Context, text }
my (%section, @order);
for my $part (split /^(?=### )/m, slurp("$root/docs/directives.md")) {
    my ($name, $text) = $part =~ /\A### (\S+)\n(.*?)(?=^## |\z)/ms or next;
    push @order, $name;
    ok(!$section{$name}, "$name is described once");
    $section{$name} = { text => $text, map { /^(\w+): (.*)/ } grep { /^(?:Syntax|Default|Context): / } split /\n/, $text };
}
ok(@order > 20, 'sections were found');

# what there is: the settings table and the module's command tables
my %known;
{
    my $table = slurp("$root/worker/libfitnudge/fn_settings.c");
    while ($table =~ /\{\s*"([a-z0-9_]+)",\s*FN_SCOPE_(HTTP|WORKER),\s*FN_S_(\w+),[^,]*(?:\([^)]*\))?[^,]*,\s*("[^"]*"|NULL)/g) {
        $known{$1} = { context => $2 eq 'HTTP' ? qr/\bhttp\b/ : qr/^fitnudge_worker$/, default => $4 eq 'NULL' ? undef : substr($4, 1, -1), table => 1 };
    }
    cmp_ok(scalar(keys %known), '>', 20, 'the settings table was understood');

    my %variable;
    for my $file (glob "$root/ngx_fitnudge_module/*.c") {
        my $text = slurp($file);
        while ($text =~ /\{\s*ngx_string\("(\w+)"\),\s*([^{}]*?)\}/g) {
            my ($name, $rest) = ($1, $2);
            if ($rest =~ /NGX_\w+_CONF\b/) { $known{$name} //= { context => undef } }
            elsif ($rest =~ /^NULL,\s*\w+variable\w*/ || $rest =~ /NGX_HTTP_VAR_/) { $variable{"\$$name"} = 1 }
        }
    }
    ok($known{$_}, "the module has $_") for qw(fitnudge fitnudge_worker fitnudge_zone fitnudge_postgres fitnudge_postgres_password fitnudge_redis_timeout);
    $known{$_} = { variable => 1 } for keys %variable;
}

for my $name (sort keys %known) {
    my ($s, $k) = ($section{$name}, $known{$name});
    ok($s, "$name is described") or next;
    next if $k->{variable};

    ok(defined $s->{$_} && $s->{$_} ne '', "$name: $_") for qw(Syntax Default Context);
    like($s->{Syntax} // '', qr/^`\Q$name\E\b/, "$name: its syntax begins with its name");
    like($s->{text}, qr/^```nginx\n(?:.*\n)*?.*\b\Q$name\E\b/m, "$name: there is an example");
    like($s->{Context} // '', $k->{context}, "$name: context") if $k->{context};
    is($s->{Default}, defined $k->{default} ? "`$k->{default}`" : '-', "$name: default") if $k->{table};
}
ok($known{$_}, "$_ exists") for @order;

# Files that pages name are there; headings they point to as well.
for my $page (glob("$root/README.md $root/docs/*.md")) {
    (my $dir = $page) =~ s{/[^/]+$}{};
    my $text = slurp($page);
    while ($text =~ /\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)/g) {
        my ($file, $anchor) = ($1, $2);
        my $target = $file eq '' ? $page : "$dir/$file";
        (my $short = $page) =~ s{^\Q$root\E/}{};
        ok(-e $target, "$short: $file is there") or next;
        next if !defined $anchor;
        my @anchors = map { lc =~ s/[^\w\s-]//gr =~ s/\s/-/gr } slurp($target) =~ /^#+ (.*?)\s*$/mg;
        ok((grep { $_ eq $anchor } @anchors), "$short: $file has #$anchor");
    }
}

# Directives, metrics and variables that the guides name exist.
my $named = join '', map { slurp("$root/docs/$_.md") } qw(directives metrics);
for my $page (glob("$root/README.md $root/docs/*.md")) {
    (my $short = $page) =~ s{^\Q$root\E/}{};
    my %seen = map { $_ => 1 } slurp($page) =~ /`\$?(fitnudge_[a-z0-9_]+)/g;
    my @unknown = grep { $named !~ /\b\Q$_\E\b/ && $_ !~ /^fitnudge_(?:owner|edge|pool|clock|admin|social|api|auth|queue|metrics|keys|maintenance)$/ } sort keys %seen;
    ok(!@unknown, "$short: names what there is") or diag("unknown: @unknown");
}

done_testing;
