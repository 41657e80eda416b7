# A physical standby answers every question as the server that it follows does,
# row by row; what writes says that it cannot; promoted, it goes on.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use ServerTest;
use WorkerTest;

my $primary = quiet_node('primary', "hot_standby_feedback = on\nleadscore.naptime = '100ms'\n", allows_streaming => 1);
$primary->start;
hold_clock($primary, 'postgres');
$primary->safe_psql('postgres', "CREATE EXTENSION leadscore; $crm $rules SELECT leadscore.create_model('other', 'contact')");
$primary->safe_psql('postgres', <<'SQL');
UPDATE leadscore.lead_stage SET enter_at = position * 12 WHERE model = 'm' AND position > 0;
INSERT INTO contact SELECT g, g || '@a.example', CASE g % 3 WHEN 0 THEN 'DE' ELSE 'FR' END FROM generate_series(1, 20) g;
INSERT INTO event SELECT g, g % 25, timestamptz '2026-01-05 00:00+00' + g * interval '9 hours', CASE g % 3 WHEN 0 THEN 'buy' ELSE 'open' END, g % 7 FROM generate_series(1, 100) g;
INSERT INTO visit SELECT g, g % 25, timestamptz '2026-01-05 00:00+00' + g * interval '12 hours', CASE g % 4 WHEN 0 THEN 'prices' ELSE 'home' END FROM generate_series(1, 80) g;
SQL
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

# every question there is
my %questions = (
	score => "SELECT contact_id, leadscore.score('m', contact_id), leadscore.score('m', contact_id, '2026-02-01'), leadscore.score('m', contact_id, '2026-04-01') FROM leadscore.score_m ORDER BY 1",
	stored => 'SELECT * FROM leadscore.score_m ORDER BY contact_id',
	live => 'SELECT * FROM leadscore.live_m ORDER BY contact_id',
	explain => "SELECT c.id, e.* FROM contact c, leadscore.explain('m', c.id) e ORDER BY c.id, e.rule_id",
	explain_then => "SELECT c.id, e.* FROM contact c, leadscore.explain('m', c.id, '2026-02-01') e ORDER BY c.id, e.rule_id",
	replay => "SELECT contact_id, leadscore.replay('m', contact_id), leadscore.replay('m', contact_id, '2026-02-01') FROM leadscore.score_m ORDER BY 1",
	verify => "SELECT * FROM leadscore.verify('m') ORDER BY 1",
	forecast => "SELECT c.id, f.* FROM contact c, leadscore.forecast('m', c.id, '2026-05-01') f ORDER BY c.id, f::text",
	upcoming => "SELECT * FROM leadscore.upcoming('m', '2026-05-01') u ORDER BY u::text",
	history => 'SELECT * FROM leadscore.history_m h ORDER BY h::text',
	due => 'SELECT * FROM leadscore.due_m ORDER BY 1, 2, 3',
	rules => 'SELECT * FROM leadscore.lead_rule ORDER BY rule_id');

sub same_answers
{
	my ($what) = @_;
	$primary->wait_for_catchup($standby);
	for my $name (sort keys %questions)
	{
		my $wanted = $primary->safe_psql('postgres', $questions{$name});
		same_rows($standby->safe_psql('postgres', $questions{$name}), $wanted, "$what: $name");
		isnt($wanted, '', '... which is something') if $what eq 'at first' && $name ne 'verify';
	}
}

same_answers('at first');
$primary->safe_psql('postgres', <<'SQL');
INSERT INTO event VALUES (1000, 1, '2026-02-19', 'buy', 30);
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (1001, 2, '2026-02-19', 'buy', 30), (1002, 777, '2026-02-19', 'open', 1);
DELETE FROM event WHERE id = 3;
UPDATE contact SET country = 'DE' WHERE id = 4;
COMMIT;
SQL
isnt($primary->safe_psql('postgres', 'SELECT count(*) FROM leadscore.pending_m'), 0, 'something is pending');
same_answers('with something pending');
is($primary->safe_psql('postgres', "SELECT DISTINCT status FROM leadscore.verify('m')"), 'pending', 'verify() calls it pending');
same_rows(sheet($standby, 'postgres'), sheet($primary, 'postgres'), 'the scores are what replay() says');

# rules that change
$primary->safe_psql('postgres', "UPDATE leadscore.lead_rule SET points = 7 WHERE name = 'open'; SELECT leadscore.refresh()");
same_answers('after a change of the rules');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT * FROM leadscore.verify('m')"), '', 'verify() finds nothing');

# a rule that fails has nowhere to be written down, and fails nothing
$primary->safe_psql('postgres', "SET client_min_messages = error; INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES ('m', 'fails', 'event', '1 / (amount::int - 6) > 0', 1)");
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT * FROM leadscore.verify('m')"), '', 'nor where a rule fails');

################################################################################
# What writes

for my $call ("refresh()", "refresh('m')", "rescore('m')", "set_stage('m', 1, 'hot')", "release_stage('m', 1)", "write_days('m')", "outbox_take('crm')",
	"attach('m', 'event', 'contact', 'at', source => 'again')", "detach('m', 'event')", "create_model('new', 'contact')", "drop_model('m')", 'detach_all()')
{
	my ($code, $stdout, $err) = $standby->psql('postgres', "SELECT leadscore.$call");
	like($err, qr/ERROR:  cannot (execute|acquire|lock|set)[^\n]*(read-only transaction|during recovery|recovery is in progress)/, "$call says that it cannot");
}
my ($code, $stdout, $err) = $standby->psql('postgres', "UPDATE leadscore.lead_rule SET points = 1");
like($err, qr/cannot execute UPDATE in a read-only transaction/, 'rules are not changed');
($code, $stdout, $err) = $standby->psql('postgres', "INSERT INTO event VALUES (1, 1)");
like($err, qr/cannot execute INSERT in a read-only transaction/, 'nor events');
same_answers('after that');

################################################################################
# Promotion

$primary->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO event VALUES (1100, 2, '2026-02-20', 'open'); COMMIT");
$primary->wait_for_catchup($standby);
my $before = sheet($primary, 'postgres');
$primary->stop;
$standby->promote;
same_rows(sheet($standby, 'postgres'), $before, 'promoted: the scores are the same');
$standby->safe_psql('postgres', "INSERT INTO event VALUES (1200, 2, '2026-02-20', 'buy', 4); DELETE FROM event WHERE id = 5; INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'more', 'event', 'open', 1)");
right($standby, 'postgres', 'promoted');
$rules .= "INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES ('m', 'fails', 'event', '1 / (amount::int - 6) > 0', 1);"
	. "INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'more', 'event', 'open', 1); UPDATE leadscore.lead_rule SET points = 7 WHERE name = 'open' AND model = 'm';";
same_rows(sheet($standby, 'postgres'), fresh_model($standby, 'postgres', "SET client_min_messages = error; $rules" =~ s/SET client_min_messages = warning;//r), 'promoted: a new model has the same');
$standby->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO event VALUES (1201, 3, '2026-02-20', 'open'); COMMIT");
reload($standby, enabled => 'on');
within($standby, 20, 'SELECT NOT EXISTS (SELECT FROM leadscore.pending_m)', 'promoted: the worker folds in what is pending');
reload($standby, enabled => 'off');
right($standby, 'postgres', 'promoted, after the worker');

$standby->stop;
done_testing();
