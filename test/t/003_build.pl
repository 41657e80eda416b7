# A build outside of the source tree: what is built stands where make runs, the
# sources stay as they are, and the programs of the build are found from there.
use strict;
use warnings;

use Cwd qw(abs_path);
use FindBin;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = abs_path("$FindBin::Bin/../..");
my $elsewhere = PostgreSQL::Test::Utils::tempdir;
my ($tree, $build) = ("$elsewhere/tree", "$elsewhere/build");

# the tree without what a build has left in it, which would be taken for up to date
mkdir($_) or die "could not make $_: $!" for $tree, $build;
system_or_bail('sh', '-c', "cd '$top' && tar cf - --exclude='*.o' --exclude='*.d' --exclude='leadscore--*.sql'"
	  . " Makefile leadscore.control src test/bin test/unit | tar xf - -C '$tree'");

sub files { return join ' ', sort split /\n/, `cd '$tree' && find . -type f` }

# make of the tree's Makefile, in another folder; not as a part of the make that runs this
sub make
{
	my (@targets) = @_;

	local @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};
	delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};
	return run_log([ 'make', '-C', $build, '-f', "$tree/Makefile", @targets ]);
}

my $before = files();
my ($script) = map { "leadscore--$_.sql" } tree_file('leadscore.control') =~ /^default_version *= *'(.*)'/m;
ok(make('src/base/clock.o', 'src/scoring/state.o', $script), 'it is built outside of the source tree');
ok(-s "$build/$_", "... $_ stands there") for 'src/base/clock.o', 'src/scoring/state.o', $script;
is(files(), $before, '... and the source tree is as it was');
ok(make('-n', 'all', 'layercheck', 'install'), 'make knows how to build and install all of it from there');
is(files(), $before, '... still');

done_testing();
