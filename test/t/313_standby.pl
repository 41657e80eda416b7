# A physical standby answers every question as the server that it follows does,
# row by row; what writes says that it cannot; promoted, it goes on.
use strict;
use warnings;

use Crm;
use LeadscoreNode;
use Test::More;

my $primary = LeadscoreNode->create('primary', streaming => 1,
	conf => { hot_standby_feedback => 'on', 'leadscore.naptime' => '100ms' });
$primary->hold_clock('postgres');
$primary->safe_psql('postgres', <<"SQL");
CREATE EXTENSION leadscore;
$crm $rules SELECT leadscore.create_model('other', 'contact');
SQL
$primary->safe_psql('postgres', <<'SQL' . crm_rows());
UPDATE leadscore.lead_stage SET enter_at = position * 12 WHERE model = 'm' AND position > 0;
SQL
$primary->backup('backup');
my $standby = LeadscoreNode->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

# every question there is
my %questions = (
	score => <<'SQL',
SELECT contact_id, leadscore.score('m', contact_id), leadscore.score('m', contact_id, '2026-02-01'),
	leadscore.score('m', contact_id, '2026-04-01')
  FROM leadscore.score_m ORDER BY 1
SQL
	stored => 'SELECT * FROM leadscore.score_m ORDER BY contact_id',
	live => 'SELECT * FROM leadscore.live_m ORDER BY contact_id',
	explain => "SELECT c.id, e.* FROM contact c, leadscore.explain('m', c.id) e ORDER BY c.id, e.rule_id",
	explain_then => "SELECT c.id, e.* FROM contact c, leadscore.explain('m', c.id, '2026-02-01') e ORDER BY c.id, e.rule_id",
	replay => <<'SQL',
SELECT contact_id, leadscore.replay('m', contact_id), leadscore.replay('m', contact_id, '2026-02-01')
  FROM leadscore.score_m ORDER BY 1
SQL
	verify => "SELECT * FROM leadscore.verify('m') ORDER BY 1",
	forecast => "SELECT c.id, f.* FROM contact c, leadscore.forecast('m', c.id, '2026-05-01') f ORDER BY c.id, f::text",
	upcoming => "SELECT * FROM leadscore.upcoming('m', '2026-05-01') u ORDER BY u::text",
	top => "SELECT * FROM leadscore.top('m', 3)",
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
same_rows($standby->scores('postgres'), $primary->scores('postgres'), 'the scores are what replay() says');

# rules that change
$primary->safe_psql('postgres', <<'SQL');
UPDATE leadscore.lead_rule SET points = 7 WHERE name = 'open';
SELECT leadscore.refresh();
SQL
same_answers('after a change of the rules');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT * FROM leadscore.verify('m')"), '', 'verify() finds nothing');

# a rule that fails has nowhere to be written down, and fails nothing
$primary->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
INSERT INTO leadscore.lead_rule (model, name, source, condition, points)
VALUES ('m', 'fails', 'event', '1 / (amount::int - 6) > 0', 1);
SQL
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT * FROM leadscore.verify('m')"), '', 'nor where a rule fails');

################################################################################
# What writes

for my $call ("refresh()", "refresh('m')", "rescore('m')", "set_stage('m', 1, 'hot')", "release_stage('m', 1)",
	"write_days('m')", "outbox_take('crm')",
	"attach('m', 'event', 'contact', 'at', source => 'again')", "detach('m', 'event')",
	"create_model('new', 'contact')", "drop_model('m')", 'detach_all()')
{
	my ($code, $stdout, $err) = $standby->psql('postgres', "SELECT leadscore.$call");
	like($err,
		qr/ERROR:  cannot (execute|acquire|lock|set)[^\n]*(read-only transaction|during recovery|recovery is in progress)/,
		"$call says that it cannot");
}
my ($code, $stdout, $err) = $standby->psql('postgres', "UPDATE leadscore.lead_rule SET points = 1");
like($err, qr/cannot execute UPDATE in a read-only transaction/, 'rules are not changed');
($code, $stdout, $err) = $standby->psql('postgres', "INSERT INTO event VALUES (1, 1)");
like($err, qr/cannot execute INSERT in a read-only transaction/, 'nor events');
same_answers('after that');

################################################################################
# Promotion

$primary->safe_psql('postgres', <<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (1100, 2, '2026-02-20', 'open');
COMMIT;
SQL
$primary->wait_for_catchup($standby);
my $before = $primary->scores('postgres');
$primary->stop;
$standby->promote;
same_rows($standby->scores('postgres'), $before, 'promoted: the scores are the same');
$standby->safe_psql('postgres', <<'SQL');
INSERT INTO event VALUES (1200, 2, '2026-02-20', 'buy', 4);
DELETE FROM event WHERE id = 5;
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'more', 'event', 'open', 1);
SQL
$standby->check_scores('postgres', 'promoted');
$rules .= <<'SQL';
INSERT INTO leadscore.lead_rule (model, name, source, condition, points)
VALUES ('m', 'fails', 'event', '1 / (amount::int - 6) > 0', 1);
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'more', 'event', 'open', 1);
UPDATE leadscore.lead_rule SET points = 7 WHERE name = 'open' AND model = 'm';
SQL
same_rows($standby->scores('postgres'), scores_of_new_model($standby, 'postgres',
	"SET client_min_messages = error; $rules" =~ s/SET client_min_messages = warning;//r),
	'promoted: a new model has the same');
$standby->safe_psql('postgres', <<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (1201, 3, '2026-02-20', 'open');
COMMIT;
SQL
$standby->configure(enabled => 'on');
$standby->within(20, 'SELECT NOT EXISTS (SELECT FROM leadscore.pending_m)', 'promoted: the worker folds in what is pending');
$standby->configure(enabled => 'off');
$standby->check_scores('postgres', 'promoted, after the worker');

$standby->stop;
done_testing();
