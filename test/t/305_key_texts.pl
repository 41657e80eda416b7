# Keys that have several texts: a dump, a restore and other settings leave a contact
# who he is, rows of the outbox keep numbers of their own, and erase_contact() finds all.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('key_texts');
my $dir = PostgreSQL::Test::Utils::tempdir;
my @connection = ('-h', $node->host, '-p', $node->port);

sub sql { return $node->safe_psql(@_) }

# each with two texts of one key, and another key
my %keys = (
	mail => [ 'citext', 'Zoe@Example.com', 'zoe@example.com', 'bob@example.com' ],
	hash => [ 'bytea', '\xdead00ff', '\xDEAD00FF', '\x01' ],
	born => [ 'timestamptz', '2026-01-02 10:00+00', '2026-01-02 19:00+09', '2026-01-03 10:00+00' ],
	ratio => [ 'float8', '0.1', '1e-1', '0.30000000000000004' ],
	amount => [ 'numeric', '1.0', '1.00', '2' ]);
my $icu = sql('postgres', "SELECT count(*) > 0 FROM pg_collation WHERE collprovider = 'i'") eq 't';
$keys{name} = [ 'text COLLATE blind', "Jos\x{e9}", "JOSE\x{301}", 'Eve' ] if $icu;
my @models = sort keys %keys;

sub make_database
{
	my ($db) = @_;
	sql('postgres', <<"SQL");
CREATE DATABASE $db;
ALTER DATABASE $db SET leadscore.clock = '2026-02-20 12:00+00';
SQL
}

make_database('crm');
for my $texts (values %keys)
{
	utf8::encode($_) for @$texts;
}
sql('crm', "SET client_min_messages = warning; CREATE EXTENSION citext; CREATE EXTENSION leadscore;"
	  . ($icu ? "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false)" : ''));
for my $model (@models)
{
	my ($type, $one, $other, $else) = @{ $keys{$model} };
	sql('crm', <<"SQL");
SET client_min_messages = warning;
CREATE TABLE ${model}_contact (id $type PRIMARY KEY);
CREATE TABLE ${model}_event (contact $type, at timestamptz);
CREATE INDEX ON ${model}_event (contact, at);
SELECT leadscore.create_model('$model', '${model}_contact');
SELECT leadscore.attach('$model', '${model}_event', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('$model', 'event', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES
	('$model', 'hot', 1, 10), ('$model', 'won', 2, 20), ('$model', 'top', 3, 30);
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('$model', 'tell', 'stage_entered');
INSERT INTO ${model}_contact VALUES ('$one'), ('$else');
INSERT INTO ${model}_event VALUES ('$other', leadscore.clock()), ('$else', leadscore.clock());
SELECT leadscore.merge_contacts('$model', '$other', '$else');
SQL
}

my %state = (
	history => <<'SQL',
SELECT model, contact, from_stage, to_stage, score, extract(epoch FROM changed_at), cause
  FROM leadscore.lead_stage_history ORDER BY 1, 2, 6, 4
SQL
	outbox => "SELECT outbox_id, model, action, contact, stage, status, payload FROM leadscore.lead_outbox ORDER BY 1",
	map { ("history of $_" => <<"SQL", "score of $_" => "SELECT leadscore.score('$_', '$keys{$_}[2]')",
SELECT kind, key, from_stage, to_stage, score, extract(epoch FROM changed_at)
  FROM leadscore.history_of('$_', '$keys{$_}[2]')
SQL
			"identities of $_" => "SELECT * FROM leadscore.identities('$_', '$keys{$_}[3]')") } @models);

sub state_of
{
	my ($db) = @_;
	return { map { $_ => sql($db, $state{$_}) } keys %state };
}

my $before = state_of('crm');
like($before->{history}, qr/^mail\|Zoe\@Example.com\|unqualified\|hot\|10\|/m, 'the text is the one in the score table');
like($before->{history}, qr/^born\|2026-01-02 10:00:00\+00\|unqualified\|hot\|10\|/m, '... in ISO');
unlike($before->{history}, qr/zoe|1\.00|\+09/, '... and no other');
is(sql('crm', "SELECT count(*), count(DISTINCT outbox_id) FROM leadscore.lead_outbox"), join('|', (2 * @models) x 2),
	'numbers of all models are different');

# settings of the database that dumps write values with, and others that they are read with
sql('postgres', <<'SQL');
ALTER DATABASE crm SET datestyle = 'German';
ALTER DATABASE crm SET timezone = 'Asia/Tokyo';
ALTER DATABASE crm SET bytea_output = 'escape';
ALTER DATABASE crm SET extra_float_digits = -10;
SQL
is_deeply(state_of('crm'), $before, 'all is the same with other settings of the database');
command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dir/whole", 'crm' ], 'pg_dump');
command_ok([ 'pg_dump', @connection, '-s', '-f', "$dir/schema.sql", 'crm' ], 'pg_dump -s');
command_ok([ 'pg_dump', @connection, '-a', '--disable-triggers', '-f', "$dir/data.sql", 'crm' ], 'pg_dump -a --disable-triggers');
sub wants { return <<"SQL" }
ALTER DATABASE $_[0] SET datestyle = 'SQL, DMY';
ALTER DATABASE $_[0] SET timezone = 'America/New_York';
SQL

make_database($_) for qw(whole pieces);
command_ok([ 'pg_restore', @connection, '-e', '-d', 'whole', "$dir/whole" ], 'pg_restore');
my @psql = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @connection, '-o', "$dir/psql.out");
command_ok([ @psql, '-d', 'pieces', '-f', "$dir/schema.sql" ], 'the schema');
command_ok([ @psql, '-d', 'pieces', '-f', "$dir/data.sql" ], 'the data');

for my $db (qw(whole pieces))
{
	sql('postgres', wants($db));
	is_deeply(state_of($db), $before, "$db: all is as it was");
	my $highest = sql($db, 'SELECT max(outbox_id) FROM leadscore.lead_outbox');
	# one model, then another
	sql($db, "INSERT INTO ${_}_event VALUES ('$keys{$_}[1]', leadscore.clock())") for @models;
	is(sql($db, <<"SQL"), 't|t', "$db: new rows have new numbers");
SELECT min(outbox_id) > $highest, count(*) = count(DISTINCT outbox_id) FROM leadscore.lead_outbox
 WHERE outbox_id > $highest
SQL
	is(sql($db, "SELECT count(*) FROM leadscore.outbox_take('c')"), sql($db, 'SELECT count(*) FROM leadscore.lead_outbox'),
		"$db: all can be taken");
	is(sql($db, <<"SQL"), sql($db, "SELECT count(*) FROM leadscore.lead_outbox WHERE outbox_id > $highest"), "$db: ... and done, each once");
SELECT leadscore.outbox_done('c', array_agg(outbox_id)) FROM leadscore.lead_outbox WHERE outbox_id > $highest
SQL
	for my $model (@models)
	{
		is(sql($db, "SELECT * FROM leadscore.verify('$model')"), '', "$db: $model is right");
		sql($db, <<"SQL");
DELETE FROM ${model}_event;
DELETE FROM ${model}_contact;
SELECT leadscore.erase_contact('$model', '$keys{$model}[2]');
SQL
		is(sql($db, join(' UNION ALL ', map { "SELECT '$_' FROM leadscore.${_}_$model" }
			qw(history outbox score due pending worker_error merged))), '',
			"$db: nothing of the person is left in $model");
	}
}

$node->stop;
done_testing();
