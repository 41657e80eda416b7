# pg_upgrade to a newer server: the same scores, rules and history row by row, and
# it goes on.  LEADSCORE_NEW_BINDIR names the newer server's programs; make test
# installs leadscore there, too.  test/bin/on-version NN UPGRADE_FROM=15 runs it.
use strict;
use warnings;

use Crm;
use File::Basename qw(dirname);
use File::Temp;
use LeadscoreNode;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $new_bin = $ENV{LEADSCORE_NEW_BINDIR};
plan skip_all => 'LEADSCORE_NEW_BINDIR does not name the programs of a newer server to upgrade to' unless $new_bin;
die "no pg_upgrade in LEADSCORE_NEW_BINDIR=$new_bin\n" unless -x "$new_bin/pg_upgrade";
my ($major) = `$new_bin/postgres --version` =~ /\) (\d+)/;
(my $old_bin = `pg_config --bindir`) =~ s/\s+$//;
note("from $old_bin to $new_bin, version $major");

my $old = LeadscoreNode->create('old', conf => { 'leadscore.naptime' => '100ms' });
$old->hold_clock('postgres');
$old->safe_psql('postgres', 'CREATE DATABASE empty');
$old->safe_psql('empty', 'CREATE EXTENSION leadscore');
$old->safe_psql('postgres', <<"SQL");
CREATE ROLE sales;
CREATE EXTENSION citext;
CREATE EXTENSION leadscore;
$crm $rules
SQL
$old->safe_psql('postgres', crm_rows() . <<'SQL');
SET client_min_messages = warning;
CREATE TABLE people (mail citext PRIMARY KEY);
CREATE TABLE act (who citext, at date);
CREATE INDEX ON act (who);
INSERT INTO people SELECT 'P' || g || '@x.example' FROM generate_series(1, 9) g;
SELECT leadscore.create_model('people', 'people', categories => '{heat,fit,engagement}');
SELECT leadscore.attach('people', 'act', 'who', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('people', 'act', 3);
INSERT INTO act SELECT 'p' || g % 11 || '@X.EXAMPLE', '2026-02-01' FROM generate_series(1, 30) g;
UPDATE leadscore.lead_model SET daily = true;
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('m', 'left', 'stage_left');
UPDATE leadscore.lead_stage SET enter_at = position * 12 WHERE model = 'm' AND position > 0;
SELECT leadscore.refresh();
SET leadscore.clock = '2026-02-21 12:00+00';
SELECT leadscore.refresh();
RESET leadscore.clock;
ALTER DATABASE postgres SET leadscore.clock = '2026-02-21 12:00+00';
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (500, 3, '2026-02-19', 'buy', 3);
DELETE FROM event WHERE id = 11;
COMMIT;
SQL

my %state = (
	(map { ($_ => "SELECT * FROM leadscore.$_ t ORDER BY t::text COLLATE \"C\"") }
		qw(score_m score_people live_m live_people due_m due_people pending_m pending_people history_m history_people
			daily_m daily_people funnel_daily_m lead_model lead_category lead_source lead_relation lead_rule lead_stage
			lead_grade lead_stage_history lead_action lead_outbox lead_day lead_job lead_job_range)),
	replay => "SELECT contact_id, leadscore.replay('m', contact_id) FROM leadscore.score_m ORDER BY 1",
	forecast => "SELECT c.id, f.* FROM contact c, leadscore.forecast('m', c.id, '2026-05-01') f ORDER BY c.id, f::text",
	verify => "SELECT * FROM leadscore.verify('m') UNION ALL SELECT * FROM leadscore.verify('people') ORDER BY 1",
	triggers => <<'SQL',
SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname LIKE 'leadscore%'
 ORDER BY tgrelid::regclass::text, 2
SQL
	sequences => <<'SQL');
SELECT (SELECT last_value FROM leadscore_internal.version_seq),
	(SELECT last_value FROM leadscore_internal.lead_rule_rule_id_seq),
	(SELECT last_value FROM leadscore_internal.outbox_id_seq)
SQL

sub state_of
{
	my ($node) = @_;
	return { map { $_ => $node->safe_psql('postgres', $state{$_}) } keys %state };
}

my $before = state_of($old);
isnt($before->{$_}, '', "there is something in $_") for qw(score_m history_m due_m pending_m lead_outbox daily_m replay forecast);
is($before->{verify} =~ /wrong/, '', 'it is right');
$old->stop;

my $new;
{
	local $ENV{PATH} = "$new_bin:$ENV{PATH}";
	my $without = `$new_bin/initdb --help` =~ /--no-data-checksums/ ? '--no-data-checksums' : '';
	# it would like to have its launcher begin at once
	$new = LeadscoreNode->create('new', worker => 1, streaming => 0, start => 0, conf => { 'leadscore.naptime' => '10ms' },
		node => { install_path => dirname($new_bin) }, init => { extra => [ $without || () ] });
}

# here, and with a path that is short enough for sockets
my $sockets = File::Temp::tempdir(DIR => '/tmp', CLEANUP => 1);
chdir(PostgreSQL::Test::Utils::tempdir) or die;
local $ENV{LD_LIBRARY_PATH} = '';
my @command = ("$new_bin/pg_upgrade", '-b', $old_bin, '-B', $new_bin, '-d', $old->data_dir, '-D', $new->data_dir,
	'-s', $sockets, '-p', $old->port, '-P', $new->port);
command_ok([ @command, '--check' ], 'pg_upgrade --check');
command_ok(\@command, 'pg_upgrade');

$new->append_settings('leadscore.enabled' => 'off');
$new->start;
is($new->safe_psql('postgres', 'SHOW server_version_num') =~ /^$major/, 1, "it is version $major now");
my $after = state_of($new);
same_rows($after->{$_}, $before->{$_}, "upgraded: $_") for sort keys %state;
$new->check_scores('postgres', 'upgraded');
$new->check_scores('postgres', 'upgraded', 'people');

$new->safe_psql('postgres', <<'SQL');
INSERT INTO event VALUES (600, 3, '2026-02-19', 'buy', 3);
UPDATE visit SET page = 'prices' WHERE id % 5 = 0;
DELETE FROM event WHERE id % 7 = 0;
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'new', 'event', 'open', 1);
INSERT INTO act VALUES ('P1@x.example', '2026-02-20');
SQL
$new->check_scores('postgres', 'it goes on');
$new->check_scores('postgres', 'it goes on', 'people');
$rules .= "INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'new', 'event', 'open', 1);";
same_rows($new->scores('postgres'), scores_of_new_model($new, 'postgres'), 'a new model has the same');
is($new->safe_psql('empty', "SELECT count(*) FROM leadscore.lead_model"), 0, 'the database without models');
$new->safe_psql('empty', <<"SQL");
SET client_min_messages = warning;
$crm $rules INSERT INTO event VALUES (1, 1, '2026-02-19', 'open');
SQL
is($new->safe_psql('empty', "SELECT * FROM leadscore.verify('m')"), '', '... gets one');

$new->stop;
done_testing();
