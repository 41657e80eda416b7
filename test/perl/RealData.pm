# What the tests against real data share: a server, and the comparison of
# scores with what plain SQL gives over the same rows.
#
# A test defines plain_<model>(t timestamptz), which returns for every contact
# the score at t and size, the sum of |points x w x d|, and calls agree().
package RealData;

use strict;
use warnings;

use Exporter 'import';
use LeadscoreNode;
use Test::More;

our @EXPORT = qw(start_server sql agree agree_at verified program create_from load);

my $node;

# start_server starts a server, without a worker, where all is counted at once.
sub start_server
{
	my ($name) = @_;

	$node = LeadscoreNode->create($name, library => 'session',
		conf => { autovacuum => 'on', max_wal_size => '2GB', 'leadscore.inline_limit' => 100_000_000 });
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

	compare($model, $clock, $clock, "$what: $_",
		<<"SQL")
SELECT p.contact, p.score, p.size, s.score AS got, s.contact_id
  FROM leadscore.$_ s FULL JOIN plain p ON p.contact = s.contact_id
SQL
	  foreach "score_$model", "live_$model";
	agree_at($model, $clock, $at, $what);
}

# agree_at compares score() at some instants only.
sub agree_at
{
	my ($model, $clock, $at, $what) = @_;

	compare($model, $clock, $_, "$what: score() at $_",
		"SELECT *, leadscore.score('$model', contact, '$_') AS got, contact AS contact_id FROM plain")
	  foreach @$at;
}

# compare shows what differs between plain SQL at an instant and a query.
sub compare
{
	my ($model, $clock, $at, $what, $query) = @_;

	is(sql(<<"SQL"), '', $what);
		SET leadscore.clock = '$clock';
		WITH plain AS MATERIALIZED (SELECT contact, score, size FROM plain_$model('$at')),
			both_ways AS MATERIALIZED ($query)
		SELECT coalesce(contact_id::text, contact::text), got, score, count(*) OVER () AS of
		  FROM both_ways WHERE NOT coalesce(abs(got - score) <= 1e-9 * greatest(1, size), false)
		 ORDER BY 1 LIMIT 5
SQL
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

# create_from creates a table with the columns that an export's first line names,
# text unless types are given.
sub create_from
{
	my ($table, $path, %types) = @_;

	open(my $file, '<:encoding(UTF-8)', $path) or die "could not read $path: $!\n";
	chomp(my $head = <$file>);
	$head =~ s/^\x{feff}|\r$//g;
	my @columns = map { qq("$_" ) . ($types{$_} // 'text') } split /,/, $head;
	sql("CREATE TABLE $table (" . join(', ', @columns) . ')');
}

# load loads an export as it is, byte order mark and all.
sub load
{
	my ($table, $path, $clock) = @_;

	sql("SET leadscore.clock = '$clock'; COPY $table FROM '$path' (FORMAT csv, HEADER)");
}

1;
