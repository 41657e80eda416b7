# A model whose key has been swapped for a column of another type, whose categories
# have come, gone and been renamed, and of whom events were purged while their source
# was detached: dumped and restored it goes on, in every way of a dump; and sessions
# that had seen it before go on.
use strict;
use warnings;

use Crm;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $node = LeadscoreNode->create('dumped');
$node->safe_psql('postgres', 'CREATE DATABASE made');
$node->hold_clock('made');
$node->safe_psql('made', "CREATE EXTENSION leadscore; $crm $rules");

# a session that knows the model as it was
my $old = $node->background_psql('made', on_error_stop => 0);
$old->query(<<'SQL');
INSERT INTO event (id, contact, at, what, amount) VALUES (1, 1, '2026-02-01', 'open', 1);
SELECT leadscore.score('m', 1);
SELECT * FROM leadscore.live_m;
SQL

$node->safe_psql('made', <<'SQL');
SET client_min_messages = warning;
INSERT INTO contact SELECT g, g || '@a.example', 'DE' FROM generate_series(1, 5) g;
INSERT INTO event SELECT g, g % 7, '2026-02-01', (ARRAY['open', 'buy'])[1 + g % 2], 1 FROM generate_series(2, 40) g;
INSERT INTO visit SELECT g, g % 7, '2026-01-20', 'prices' FROM generate_series(1, 20) g;
SELECT leadscore.set_stage('m', 2, 'hot');
SELECT leadscore.merge_contacts('m', 3, 4);
SET leadscore.on_delete = keep;
DELETE FROM event WHERE id % 3 = 0;
RESET leadscore.on_delete;
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'loyalty'), ('m', 'spare');
UPDATE leadscore.lead_rule SET category = 'loyalty' WHERE name IN ('often', 'visits');
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('m', 'loyalty', 'L', 1);
UPDATE leadscore.lead_category SET category = 'suit' WHERE model = 'm' AND category = 'fit';
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category = 'spare';
INSERT INTO leadscore.lead_category (model, category, position) VALUES ('m', 'spare', 0);
ALTER TABLE contact ADD id_new bigint;
UPDATE contact SET id_new = id;
CREATE UNIQUE INDEX contact_id_new ON contact (id_new);
BEGIN;
ALTER TABLE contact RENAME id TO id_old;
ALTER TABLE contact RENAME id_new TO id;
UPDATE leadscore.lead_model SET key = 'id' WHERE model = 'm';
ALTER TABLE contact DROP CONSTRAINT contact_pkey, ADD PRIMARY KEY USING INDEX contact_id_new;
COMMIT;
ALTER TABLE contact DROP id_old;
SQL

# the same rows by columns that are named
my $shown = <<'SQL';
SELECT s.contact_id, pg_typeof(s.contact_id), round(s.score::numeric, 6), round(s.suit::numeric, 6),
	round(s.engagement::numeric, 6), s.loyalty, s.spare, s.grade, s.stage, s.has_contact
  FROM leadscore.score_m s ORDER BY 1
SQL
my $right = "SELECT count(*) FROM leadscore.verify('m')";

is($old->query(<<'SQL'), '', 'a session that knew the model writes');
INSERT INTO event (id, contact, at, what, amount) VALUES
	(100, 1, '2026-02-02', 'open', 1), (101, 8, '2026-02-02', 'buy', 1)
SQL
like($old->query("SELECT contact_id, loyalty IS NOT NULL FROM leadscore.live_m WHERE contact_id = 8"), qr/^8\|t$/m,
	'... and reads');
is($node->safe_psql('made', $right), 0, 'all is right');
is($node->safe_psql('made', 'SELECT count(*) FROM leadscore.score_m WHERE loyalty > 0 AND suit > 0 AND spare = 0') > 0,
	'1', 'and there is something in it');
my $wanted = $node->safe_psql('made', $shown);
my $kept = $node->safe_psql('made', 'SELECT count(*), min(contact_id) FROM leadscore.purged_m');

my @on = ('-h', $node->host, '-p', $node->port, '-U', 'postgres');
# a source that is detached has its purged contributions in the dump, too
$node->safe_psql('made', "SELECT leadscore.detach('m', 'event')");
my @ways = ([ 'plain', '-Fp' ], [ 'custom', '-Fc' ], [ 'inserts', '-Fp', '--column-inserts' ]);
for my $way (@ways)
{
	my ($name, @options) = @$way;
	my $file = "$dir/$name.dump";

	command_ok([ 'pg_dump', @on, @options, '-f', $file, 'made' ], "$name: dumped");
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->hold_clock($name);
	command_ok($options[0] eq '-Fc' ? [ 'pg_restore', @on, '-j', '2', '-d', $name, $file ] :
		[ 'psql', @on, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $name, '-f', $file ], "$name: restored");
	$node->safe_psql($name, "SELECT leadscore.refresh('m')");
	is($node->safe_psql($name, $right), 0, "$name: right without the source");
	is($node->safe_psql($name, 'SELECT count(*), min(contact_id) FROM leadscore.purged_m'), $kept,
		"$name: what purged events gave is there");
	$node->safe_psql($name, <<'SQL');
SET client_min_messages = warning;
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
SQL
	is($node->safe_psql($name, $shown), $wanted, "$name: attached again all is as it was");
	is($node->safe_psql($name, $right), 0, "$name: right");
	$node->safe_psql($name, <<'SQL');
INSERT INTO contact (id, country) VALUES (5000000000, 'DE');
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'later');
INSERT INTO leadscore.lead_rule (model, name, category, kind, points) VALUES ('m', 'later', 'later', 'profile', 3);
SQL
	is($node->safe_psql($name, "SELECT score, later FROM leadscore.live_m WHERE contact_id = 5000000000"), '13|3',
		"$name: and goes on");
}

$old->quit;
$node->stop;
done_testing();
