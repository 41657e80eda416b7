# What a superuser does to leadscore's own tables by hand is an error that names
# what is not as it should be: no crash, no internal error, and events of other
# models go on to count.
use strict;
use warnings;

use Crm;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('damage');
$node->safe_psql('postgres', 'CREATE DATABASE made');
$node->hold_clock('made');
my $other = $rules;
$other =~ s/'m'/'other'/g;
$node->safe_psql('made', <<"SQL");
CREATE EXTENSION leadscore; $crm $rules $other
	INSERT INTO contact SELECT g, g || '\@a.example', 'DE' FROM generate_series(1, 5) g;
INSERT INTO event SELECT g, g % 5, '2026-02-01', 'open', 1 FROM generate_series(1, 20) g;
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('m', 'fit', 'A', 1);
INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('m', 'tell', 'stage_entered', 'warm');
UPDATE leadscore.lead_rule SET points = 5 WHERE model = 'm' AND name = 'visits';
CREATE TABLE click (contact int, visitor text, at timestamptz);
CREATE INDEX ON click (contact, at);
CREATE INDEX ON click (visitor, at);
SELECT leadscore.attach('m', 'click', 'contact', 'at', visitor => 'visitor');
INSERT INTO click VALUES (NULL, 'v', '2026-02-01');
SELECT leadscore.identify('m', 'v', 1);
SQL
$node->safe_psql('postgres', "ALTER DATABASE made SET client_min_messages = notice");
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

# what is tried after each; what it says matters
my @tries = (
	"SELECT leadscore.score('m', 1)", "SELECT leadscore.score('m', 1, '2026-02-05')",
	"SELECT leadscore.explain('m', 1)", "SELECT * FROM leadscore.live_m",
	"SELECT * FROM leadscore.score_m", "SELECT leadscore.verify('m')", "SELECT leadscore.replay('m', 1)",
	"SELECT * FROM leadscore.forecast('m', 1)", "SELECT leadscore.refresh('m')",
	"INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('m', 'new', 'event', 1)",
	"UPDATE leadscore.lead_rule SET points = 7 WHERE model = 'm'",
	<<'SQL', "SELECT * FROM leadscore.lead_rule",
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'new', 7, 1000)
SQL
	"UPDATE contact SET country = 'FR' WHERE id = 2", "INSERT INTO contact VALUES (50, 'x', 'DE')",
	"UPDATE event SET amount = 9 WHERE id = 3", "DELETE FROM event WHERE id = 4", "TRUNCATE visit",
	"SELECT leadscore.set_stage('m', 1, 'hot')", "SELECT leadscore.merge_contacts('m', 3, 4)",
	"SELECT leadscore.unidentify('m', 'v')", "SELECT leadscore.identify('m', 'w', 1)",
	"SELECT leadscore.erase_contact('m', '2')", "SELECT leadscore.rescore('m')",
	"SELECT * FROM leadscore.rule_errors", "SELECT * FROM leadscore.what_if('m')", "SELECT leadscore.write_days('m')",
	"ALTER TABLE event ADD COLUMN extra int",
	"SELECT leadscore.detach('m', 'visit')", "SELECT leadscore.drop_model('m')",
	"SELECT leadscore.drop_model('other')", "DROP EXTENSION leadscore CASCADE");

my @damages = (
	[ 'a column of lead_rule more', 'ALTER TABLE leadscore_internal.lead_rule ADD COLUMN mine int' ],
	[ 'a column of lead_model more', 'ALTER TABLE leadscore_internal.lead_model ADD COLUMN mine int' ],
	[ 'a column of lead_rule less', 'ALTER TABLE leadscore_internal.lead_rule DROP COLUMN award CASCADE' ],
	[ 'the last column of lead_model less', 'ALTER TABLE leadscore_internal.lead_model DROP COLUMN visitors_of CASCADE' ],
	[ 'a column of lead_source of another type', <<'SQL' ],
DROP VIEW leadscore.lead_source CASCADE;
ALTER TABLE leadscore_internal.lead_source ALTER relation TYPE text;
SQL
	(map { [ "no $_", "DROP TABLE leadscore.$_ CASCADE" ] } qw(merged_m identity_m pending_m due_m purged_m profile_m)),
	[ 'a column of score_m less', 'ALTER TABLE leadscore.score_m DROP COLUMN stage CASCADE' ],
	[ 'a column of score_m more', 'ALTER TABLE leadscore.score_m ADD COLUMN mine int' ],
	[ 'a column of score_m of another type', <<'SQL' ],
DROP VIEW leadscore.live_m CASCADE;
ALTER TABLE leadscore.score_m ALTER score TYPE text;
SQL
	[ 'a column of due_m more', 'ALTER TABLE leadscore.due_m ADD COLUMN mine int' ],
	(map { [ "a score row without $_", <<"SQL" ] } qw(score stage state scored_at rules_version)),
ALTER TABLE leadscore.score_m ALTER $_ DROP NOT NULL;
UPDATE leadscore.score_m SET $_ = NULL WHERE contact_id = 1;
SQL
	[ 'a state torn', "UPDATE leadscore.score_m SET state = substring(state, 1, 3)" ],
	[ 'a state forged', "UPDATE leadscore.score_m SET state = '\\xffffffffffffffffffffffff'" ],
	(map { [ "$_->[0] without $_->[1]", <<"SQL" ] }
ALTER TABLE leadscore_internal.$_->[0] ALTER $_->[1] DROP NOT NULL;
ALTER TABLE leadscore_internal.$_->[0] DISABLE TRIGGER ALL;
UPDATE leadscore_internal.$_->[0] SET $_->[1] = NULL WHERE model = 'm';
SQL
		[ 'lead_source', 'on_delete' ], [ 'lead_source', 'contact' ], [ 'lead_source', 'relation' ],
		[ 'lead_rule', 'kind' ], [ 'lead_rule', 'decay' ], [ 'lead_rule', 'name' ], [ 'lead_model', 'key' ],
		[ 'lead_model', 'time_zone' ],
		[ 'lead_stage', 'position' ], [ 'lead_stage', 'enter_at' ], [ 'lead_grade', 'min_points' ],
		[ 'lead_category', 'weight' ], [ 'lead_action', 'causes' ], [ 'lead_model_history', 'weights' ],
		[ 'lead_rule_history', 'versions' ], [ 'lead_rule_history', 'valid_from' ]),
	(map {
		[ "$_ emptied", <<"SQL" ]
ALTER TABLE leadscore_internal.$_ DISABLE TRIGGER ALL;
DELETE FROM leadscore_internal.$_ WHERE model = 'm';
SQL
	} qw(lead_category lead_model lead_source lead_relation lead_rule lead_stage lead_model_history lead_rule_history
		lead_day)),
	[ 'no sequence', 'DROP SEQUENCE leadscore_internal.version_seq CASCADE' ],
	(map { [ "no $_", "DROP TABLE leadscore_internal.$_ CASCADE" ] }
		qw(lead_rule_error lead_action lead_stage lead_category lead_day lead_source lead_rule)),
);

my $n = 0;
for my $damage (@damages)
{
	my ($what, $sql) = @$damage;
	$n++;
	$node->safe_psql('postgres', "CREATE DATABASE d$n TEMPLATE made");
	$node->hold_clock("d$n");
	# what belongs to an extension can be dropped by nobody: a superuser finds a way
	my $notice = <<'SQL';
DO $$
BEGIN
	EXECUTE (SELECT string_agg(format('ALTER EVENT TRIGGER %I', evtname) || ' ENABLE ALWAYS', ';')
		  FROM pg_event_trigger WHERE evtname LIKE 'leadscore%');
END $$
SQL
	(my $ignore = $notice) =~ s/ENABLE ALWAYS/DISABLE/;
	my ($ret, $out, $err) = $node->psql("d$n", <<"SQL");
SET client_min_messages = error;
SET session_replication_role = replica;
SET allow_system_table_mods = on;
$ignore;
DELETE FROM pg_depend WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'leadscore');
$sql;
$notice
SQL
	is($err, '', "$what: done");
	my $said = '';
	my $bad = '';
	for my $try ("INSERT INTO event VALUES (1000, 1, '2026-02-10', 'open', 1)", @tries)
	{
		my ($r, $o, $e) = $node->psql("d$n", "\\set VERBOSITY verbose\n$try");
		$bad .= "$try: $e\n" if $e =~ /XX000|server closed|terminat|cache lookup/;
		$bad .= "$try: $e\n" if $try =~ /^INSERT INTO event/ && $r != 0 && $what !~ /^no (lead|sequence)|^a state/
			&& $what !~ /^a score row/;
		if ($try =~ /^INSERT INTO event/ && $what =~ /^no \w+_m|of score_m|lead_(source|rule|stage|grade|category) without/)
		{
			my $score = $node->safe_psql("d$n", <<'SQL');
SELECT abs(score - leadscore.replay('other', 1)) < 0.001 FROM leadscore.score_other WHERE contact_id = 1
SQL
			$bad .= "other models do not count: $score\n" if $score ne 't';
		}
		$said .= $e;
	}
	is($bad, '', "$what: nothing breaks");
	$node->safe_psql('postgres', "DROP DATABASE d$n");
}
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'the server was there all the time');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC/, 'and each session');

$node->stop;
done_testing();
