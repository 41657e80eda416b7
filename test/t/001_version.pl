# One version, wherever it is written: the control file, META.json, CHANGELOG.md
# but for what is not released yet, the install script and the last upgrade script.
use strict;
use warnings;

use FindBin;
use JSON::PP;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::Bin/../..";

my ($version) = tree_file('leadscore.control') =~ /^default_version\s*=\s*'([^']+)'/m;
like($version, qr/^\d+\.\d+\.\d+$/, 'leadscore.control has a version');

my $meta = JSON::PP->new->decode(tree_file('META.json'));
is($meta->{version}, $version, 'META.json');
is($meta->{provides}{leadscore}{version}, $version, 'META.json, provides');

# what is noted of a later version, not released yet, may stand before it
my ($head) = map { /^## \[?(\d[^\s\]]*)/ } grep { !/\(unreleased\)/ || /^## \Q$version\E / } tree_file('CHANGELOG.md') =~ /^## .*/mg;
is($head, $version, 'latest release in CHANGELOG.md');

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

# The versions of PostgreSQL: the same wherever they are written, and others are
# refused before anything is built, and before anything is made in a database.
my ($supported) = tree_file('Makefile') =~ /^SUPPORTED\s*=\s*(.*)$/m;
my @majors = split ' ', $supported;
my ($first, $last) = @majors[ 0, -1 ];
is("@majors", join(' ', $first .. $last), 'no version is left out');
like(tree_file('src/base/compat.h'), qr/PG_VERSION_NUM < ${first}0000 \|\| PG_VERSION_NUM >= @{[ $last + 1 ]}0000/, 'compat.h');
like(tree_file('README.md'), qr/PostgreSQL $first to $last\b/, 'README.md');
my ($check) = tree_file('src/init/leadscore.sql') =~ /^(DO \$\$.*?^\$\$;)/ms;
like($check, qr/NOT BETWEEN $first AND $last\b/, 'the install script');
like(tree_file('src/init/leadscore.sql') =~ s/\Q$check\E.*//sr, qr/\A(\\echo[^\n]*|--[^\n]*|\s)*\z/,
	'nothing stands before that check');

for my $major ($first - 1, $last + 1)
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $config = "$dir/pg_config";
	open(my $file, '>', $config) or die "could not write $config: $!\n";
	print $file "#!/bin/sh\ncase \$1 in --version) echo 'PostgreSQL $major.3 (Debian $major.3-1)' ;; *) exec pg_config \"\$@\" ;; esac\n";
	close($file);
	chmod 0755, $config;
	for my $target ('', 'all', 'install')
	{
		my $said = `make -s -C '$top' PG_CONFIG='$config' DESTDIR='$dir/root' $target 2>&1`;
		ok($? != 0, "make $target refuses version $major");
		like($said, qr/leadscore supports PostgreSQL $first to $last, and \Q$config\E is of version $major:/, 'with a message');
		ok(!-e "$dir/root", 'nothing is installed');
	}
}

my $node = LeadscoreNode->create('version', library => 'none');
my $elsewhere = $check =~ s/NOT BETWEEN \d+ AND \d+/BETWEEN $first AND $last/r;
my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$elsewhere\n");
isnt($status, 0, 'a server of another version is refused');
like($err, qr/0A000: leadscore supports PostgreSQL $first to $last\n.*DETAIL:  This server is of version \d+\.?\w+/s,
	'with a message');
is($node->psql('postgres', "$check\n"), 0, 'this one is not');
$node->stop;

done_testing();
