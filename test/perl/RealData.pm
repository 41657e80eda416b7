# What the tests against real data share: a server, and the comparison of
# scores with what plain SQL gives over the same rows.
#
# A test defines plain_<model>(t timestamptz), which returns for every contact
# the score at t and size, the sum of |points x w x d|, and calls agree().
package RealData;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More;

our @EXPORT = qw(start_server sql agree verified program);

my $node;

# start_server starts a server and returns its node.
sub start_server
{
	my ($name) = @_;

	$node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--no-locale', '--encoding=UTF8' ]);

	# Not preloaded for the server: a worker would go by the real clock.
	$node->append_conf('postgresql.conf',
		"session_preload_libraries = 'leadscore'\nfsync = off\nmax_wal_size = 2GB\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION leadscore');
	return $node;
}

# sql runs statements, each on its own, in one session.
sub sql { return $node->safe_psql('postgres', $_[0]) }

# agree compares a model with plain SQL: the stored rows, which must have been
# written at the clock's instant, live_<model>, and score() at other instants.
sub agree
{
	my ($model, $clock, $at, $what) = @_;
	my $differ = sub { "NOT coalesce(abs($_[0] - p.score) <= 1e-9 * greatest(1, p.size), false)" };
	my $fixed = "SET leadscore.clock = '$clock';\n";

	for my $table ('score', 'live')
	{
		is(sql($fixed . <<"SQL"), '', "$what: ${table}_$model");
			SELECT coalesce(s.contact_id::text, p.contact::text), s.score, p.score, count(*) OVER () AS of
			  FROM leadscore.${table}_$model s
			  FULL JOIN plain_$model('$clock') p ON p.contact = s.contact_id
			 WHERE ${\$differ->('s.score')} ORDER BY 1 LIMIT 5
SQL
	}
	for my $t (@$at)
	{
		is(sql($fixed . <<"SQL"), '', "$what: score() at $t");
			SELECT p.contact, x.score, p.score, count(*) OVER () AS of
			  FROM plain_$model('$t') p,
				   LATERAL (SELECT leadscore.score('$model', p.contact, '$t') AS score OFFSET 0) x
			 WHERE ${\$differ->('x.score')} ORDER BY 1 LIMIT 5
SQL
	}
}

# verified shows that verify() finds nothing.
sub verified
{
	my ($model, $clock, $what) = @_;

	is(sql("SET leadscore.clock = '$clock'; SELECT * FROM leadscore.verify('$model') LIMIT 5"),
		'', "$what: verify()");
}

# program gives what follows COPY ... FROM to read what a shell command writes.
sub program
{
	my ($command) = @_;

	$command =~ s/'/''/g;
	return "PROGRAM '$command'";
}

1;
