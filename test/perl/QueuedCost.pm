# Many clients that insert for one contact: into a bare table, a queued source, an
# immediate one, and one under a transaction snapshot.
package QueuedCost;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(queued_setup queued_cases queued_clients queued_rounds queued_proof);

# the last one puts aside because of its transactions' level
my @cases = qw(bare queued immediate bare_rr repeatable_read);

sub queued_cases { return @cases }

# Each case has its own table and model, so that none stands in another's way.
sub queued_setup
{
	my $sql = "SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS leadscore;\n";
	for my $case (@cases)
	{
		$sql .= <<"SQL";
			CREATE TABLE contact_$case (id int PRIMARY KEY);
			CREATE TABLE event_$case (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact int,
				at timestamptz DEFAULT now(), what text, amount float8);
			CREATE INDEX ON event_$case (contact, at);
			INSERT INTO contact_$case SELECT generate_series(1, 100);
SQL
		next if $case =~ /bare/;
		my $mode = $case eq 'queued' ? 'queued' : 'immediate';
		$sql .= <<"SQL";
			SELECT leadscore.create_model('$case', 'contact_$case');
			SELECT leadscore.attach('$case', 'event_$case', 'contact', 'at', event => 'what', mode => '$mode');
			INSERT INTO leadscore.lead_rule (model, name, event, condition, points, decay, decay_interval)
				SELECT '$case', 'rule ' || n, 'e1', CASE WHEN n % 2 = 0 THEN 'amount > ' || n END, n, 'half_life',
					n * interval '1 day'
				  FROM generate_series(1, 5) n;
SQL
	}
	return $sql;
}

# queued_clients runs a script of pgbench's in many clients, at an isolation level,
# and gives its rate, and how many of its lines tell of an error.  where says how to
# connect, how_long is -T seconds or -t transactions.
sub queued_clients
{
	my ($where, $dir, $clients, $how_long, $script, $level) = @_;
	$level =~ s/ /\\ /g if $level;
	my $options = $level ? "PGOPTIONS='-c default_transaction_isolation=$level' " : '';

	open(my $file, '>', "$dir/queued.sql") or die "could not write: $!\n";
	print $file $script;
	close($file);
	my $out = `${options}pgbench $where -n -M prepared -c $clients -j 2 $how_long -f $dir/queued.sql postgres 2>&1`;
	my $errors = () = $out =~ /ERROR|FATAL|aborted|deadlock/g;
	my ($rate) = $out =~ /^tps = ([\d.]+)/m or die "pgbench failed: $out";
	return ($rate, $errors, $out);
}

# queued_rounds gives the rates of cases, a list in the order of rounds, and under
# errors how many there were.  Options: rounds, how_long, clients, and cases (all).
sub queued_rounds
{
	my ($run, $where, $dir, %options) = @_;
	my @cases = @{ $options{cases} // \@cases };
	my %tps = (errors => { map { $_ => 0 } @cases });

	for my $round (1 .. $options{rounds})
	{
		my @order = $round % 2 ? @cases : reverse @cases;
		for my $case (@order)
		{
			my ($rate, $errors) = queued_clients($where, $dir, $options{clients}, $options{how_long},
				"INSERT INTO event_$case (contact, what, amount) VALUES (7, 'e1', 3);\n",
				$case =~ /rr$|repeatable/ ? 'repeatable read' : undef);
			$tps{errors}{$case} += $errors;
			push @{ $tps{$case} }, $rate;
			# the next begins with nothing pending
			$run->(<<"SQL") unless $case =~ /bare/;
SET client_min_messages = warning;
SELECT leadscore.refresh('$case');
SQL
			$run->("VACUUM leadscore.pending_$case") unless $case =~ /bare/;
		}
	}
	return %tps;
}

# queued_proof asks what is wrong: no rows are the proof.
sub queued_proof
{
	return join ' UNION ALL ', map { <<"SQL" } grep { !/bare/ } @cases;
SELECT '$_' AS model, contact, status FROM leadscore.verify('$_')
UNION ALL SELECT '$_', 'lost', (SELECT count(*) FROM event_$_)::text
 WHERE (SELECT matched FROM leadscore.explain('$_', 7) WHERE name = 'rule 1') IS DISTINCT FROM (SELECT count(*)
	  FROM event_$_)
SQL
}

1;
