# One version, wherever it is written: the control file, META.json, CHANGELOG.md
# but for what is not released yet, the install script and the last upgrade script.
use strict;
use warnings;

use FindBin;
use JSON::PP;
use Test::More;

my $top = "$FindBin::Bin/../..";

sub slurp
{
	my ($name) = @_;
	open(my $file, '<', "$top/$name") or die "could not read $name: $!\n";
	local $/;
	return scalar <$file>;
}

my ($version) = slurp('leadscore.control') =~ /^default_version\s*=\s*'([^']+)'/m;
like($version, qr/^\d+\.\d+\.\d+$/, 'leadscore.control has a version');

my $meta = JSON::PP->new->decode(slurp('META.json'));
is($meta->{version}, $version, 'META.json');
is($meta->{provides}{leadscore}{version}, $version, 'META.json, provides');

my ($head) = map { /^## \[?(\d[^\s\]]*)/ } grep { !/\(unreleased\)/ } slurp('CHANGELOG.md') =~ /^## .*/mg;
is($head, $version, 'latest release in CHANGELOG.md');

my @scripts = map { s{.*/leadscore--}{}r } glob("$top/leadscore--*.sql");
is_deeply(\@scripts, ["$version.sql"], 'the install script that is built');

chomp(my $sharedir = `pg_config --sharedir`);
ok(-f "$sharedir/extension/leadscore--$version.sql", 'the install script is installed');

# upgrade scripts, if there are any, end at this version
sub in_order
{
	my ($left, $right) = map { sprintf '%05d' x 3, split /\./ } @_;
	return $left cmp $right;
}
my @upgrades = sort { in_order($a, $b) } map { /--([\d.]+)\.sql$/ } glob("$top/src/upgrade/leadscore--*--*.sql");
is($upgrades[-1] // $version, $version, 'the last upgrade script');

done_testing();
