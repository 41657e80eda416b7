# Who may do what: each function, table and view of the extension is tried by each
# kind of role, and docs/reference/privileges.md says what came of it.  What there is to try
# is read from the catalogs, so that nothing new goes without a row.
#
# LEADSCORE_PRIVILEGES_OUT=file writes the page as it would have to be.
use strict;
use warnings;

use FindBin;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $db = 'shared';
my @roles = (
	[ postgres => 'superuser' ],
	[ landlord => 'database owner' ],
	[ crm => 'model owner' ],
	[ reader => 'reader' ],
	[ writer => 'writer of events' ],
	[ tenant => 'another tenant' ],
	[ nobody => 'anybody' ]);

my $node = LeadscoreNode->create('privileges', conf => { 'leadscore.inline_limit' => 0 });
my $page_file = "$FindBin::Bin/../../docs/reference/privileges.md";

sub sql
{
	my ($sql) = @_;
	return $node->safe_psql($db, "SET client_min_messages = warning;\n$sql");
}

################################################################################
# A database that belongs to one, with models of two others

$node->safe_psql('postgres', join('', map { "CREATE ROLE $_->[0] LOGIN;" } @roles[ 1 .. $#roles ])
	. "CREATE DATABASE $db OWNER landlord");
sql(<<'SQL');
CREATE EXTENSION leadscore;
GRANT CREATE ON SCHEMA public TO crm, tenant;
CREATE FUNCTION told(jsonb) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$;

SET ROLE crm;
CREATE TABLE contact (id int PRIMARY KEY, country text);
CREATE TABLE event (contact int, at timestamptz DEFAULT now(), what text, visitor text, n float8);
CREATE INDEX ON event (contact, at);
CREATE INDEX ON event (visitor, at);
CREATE TABLE call (contact int, at timestamptz);
CREATE INDEX ON call (contact, at);
CREATE TABLE other_contact (id int PRIMARY KEY);
GRANT INSERT ON event TO writer;
SELECT leadscore.create_model('m', 'contact', categories => '{fit,engagement,spare}');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what', visitor => 'visitor');
RESET ROLE;
SET leadscore.inline_limit = 1000;
SET ROLE crm;
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'hot', 1, 10);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('m', 'fit', 'A', 0);
INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('m', 'tell', 'stage_entered', 'hot');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('m', 'buy', 'buy', 10);
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES ('m', 'fades', 'buy', 9, 'half_life', '30 days');
INSERT INTO leadscore.lead_rule (model, name, event, points, condition, max_per_period) VALUES ('m', 'ratio', 'ratio', 1, '1 / n > 0', 100);
INSERT INTO leadscore.lead_rule (model, name, kind, points, condition) VALUES ('m', 'german', 'profile', 1, 'country = ''DE''');
UPDATE leadscore.lead_model SET daily = true WHERE model = 'm';
INSERT INTO contact SELECT generate_series(1, 9), 'DE';
INSERT INTO event SELECT g, now() - interval '1 day', 'buy' FROM generate_series(1, 6) g;
INSERT INTO event (visitor, what) VALUES ('v1', 'buy');
INSERT INTO event (contact, what, n) VALUES (1, 'ratio', 0);
SELECT leadscore.identify('m', 'v1', 1);
SELECT leadscore.merge_contacts('m', 1, 2);
SELECT leadscore.set_stage('m', 3, 'hot', 'known');
DELETE FROM contact WHERE id = 9;
SELECT leadscore.outbox_take('c', 2);
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (7, now(), 'buy');
COMMIT;
RESET ROLE;
SET leadscore.clock = '2030-01-01 12:00+00';
SELECT leadscore.write_days('m');
RESET leadscore.clock;
SET leadscore.inline_limit = 0;
SELECT leadscore.rescore('m', true);

SET ROLE tenant;
CREATE TABLE guest (id int PRIMARY KEY);
CREATE TABLE stay (guest int, at timestamptz, what text);
CREATE INDEX ON stay (guest, at);
SELECT leadscore.create_model('hotel', 'guest');
SELECT leadscore.attach('hotel', 'stay', 'guest', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('hotel', 'stay', 1);
INSERT INTO stay VALUES (1, now(), 'x');
SQL
# a reader has SELECT on whatever the model's owner has of his model
sql(<<'SQL');
SET ROLE crm;
SELECT format('GRANT SELECT ON %s TO reader', oid::regclass) FROM pg_class
 WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('r', 'v', 'p') AND relowner = 'crm'::regrole \gexec
SQL

################################################################################
# What is tried

# Functions: how each is called, about model m
my %calls = (
	'clock()' => '',
	'refresh(text)' => "'m'",
	'rescore(text)' => "'m'",
	'rescore(text, boolean)' => "'m', true",
	'run_job(text, integer)' => "'m', 1",
	'cancel_job(bigint)' => '(SELECT :job)',
	'pending(text)' => "'m'",
	'verify(text)' => "'m'",
	'state_text(bytea)' => "decode(:'state', 'hex')",
	'create_model(text, regclass, text, text[], text, text)' => "'new', 'public.other_contact'",
	'drop_model(text)' => "'m'",
	'attach(text, regclass, text, text, text, text, text, text, text, text)' => "'m', 'public.call', 'contact', 'at'",
	'detach(text, text, text)' => "'m', 'event'",
	'detach_all(text)' => "'m'",
	'write_days(text)' => "'m'",
	'what_if(text, integer, boolean, boolean)' => "'m'",
	'what_if_contacts(text, integer, boolean, boolean)' => "'m'",
	'what_if_distribution(text, integer, integer, boolean, boolean)' => "'m'",
	'upcoming(text, timestamptz)' => "'m', now() + interval '1 year'",
	'top(text, integer)' => "'m', 2",
	'unidentify(text, text)' => "'m', 'v1'",
	'history_of(text, text)' => "'m', '3'",
	'outbox_take(text, integer, interval, text, text)' => "'d', 1",
	'outbox_done(text, bigint[])' => "'c', :taken",
	'outbox_failed(text, bigint[], text, interval)' => "'c', :taken, 'no'",
	'outbox_retry(bigint[])' => ':taken',
	'outbox_discard(bigint[])' => ':taken',
	'start_worker()' => '',
	'stop_worker()' => '',
	# those of a contact, by its key and by its text
	(map { my $type = $_; my $c = sub { $type eq 'text' ? "'$_[0]'" : "$_[0]" }; (
		"score(text, $type, timestamptz)" => "'m', " . $c->(1) . ', NULL',
		"score(text, $type, timestamptz, timestamptz)" => "'m', " . $c->(1) . ', now(), now()',
		"explain(text, $type, timestamptz)" => "'m', " . $c->(1) . ', NULL',
		"explain(text, $type, timestamptz, timestamptz)" => "'m', " . $c->(1) . ', now(), now()',
		"replay(text, $type, timestamptz)" => "'m', " . $c->(1) . ', NULL',
		"forecast(text, $type, timestamptz)" => "'m', " . $c->(1) . ', NULL',
		"set_stage(text, $type, text, text)" => "'m', " . $c->(4) . ", 'hot', NULL",
		"release_stage(text, $type, text)" => "'m', " . $c->(3) . ', NULL',
		"identify(text, text, $type)" => "'m', 'v2', " . $c->(4),
		"merge_contacts(text, $type, $type)" => "'m', " . $c->(4) . ', ' . $c->(5),
		"unmerge(text, $type)" => "'m', " . $c->(2),
		"identities(text, $type)" => "'m', " . $c->(1),
		"erase_contact(text, $type)" => "'m', " . $c->(9),
		) } qw(text anyelement)));

# Relations that are written: with what.  Others are written without rows.
my %writes = (
	lead_rule => { INSERT => "(model, name, points) VALUES ('m', 'new', 1)",
		UPDATE => "points = 11 WHERE model = 'm' AND name = 'buy'", DELETE => "WHERE model = 'm' AND name = 'buy'" },
	lead_stage => { INSERT => "(model, stage, position, enter_at) VALUES ('m', 'new', 2, 99)",
		UPDATE => "enter_at = 11 WHERE model = 'm' AND stage = 'hot'",
		DELETE => "WHERE model = 'm' AND stage = 'hot'" },
	lead_grade => { INSERT => "(model, category, grade, min_points) VALUES ('m', 'fit', 'B', -1)",
		UPDATE => "min_points = 1 WHERE model = 'm'", DELETE => "WHERE model = 'm'" },
	lead_action => { INSERT => "(model, name, occasion, stage) VALUES ('m', 'new', 'stage_left', 'hot')",
		UPDATE => "enabled = false WHERE model = 'm'", DELETE => "WHERE model = 'm'" },
	lead_category => { INSERT => "(model, category) VALUES ('m', 'new')", UPDATE => "weight = 2 WHERE model = 'm'",
		DELETE => "WHERE model = 'm' AND category = 'spare'" },
	lead_model => { UPDATE => "max_drift = 7 WHERE model = 'm'", DELETE => "WHERE model = 'm'" },
);

my $types = <<'SQL';
array_to_string(ARRAY(SELECT replace(format_type(t, NULL), 'timestamp with time zone', 'timestamptz')
	FROM unnest(p.proargtypes) WITH ORDINALITY a (t, n) ORDER BY n), ', ')
SQL
my @functions = map { [ split /\|/ ] } split /\n/, sql(<<"SQL");
SELECT n.nspname, p.proname || '(' || $types || ')', p.proretset, p.proargtypes::text
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	 WHERE n.nspname IN ('leadscore', 'leadscore_internal') ORDER BY n.nspname, p.oid::regprocedure::text COLLATE "C"
SQL
my @relations = map { [ split /\|/ ] } split /\n/, sql(<<'SQL');
SELECT n.nspname, c.relname, c.relkind, (SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum = 1),
	EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'model')
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	 WHERE n.nspname IN ('leadscore', 'leadscore_internal') AND c.relkind IN ('r', 'v', 'm', 'p', 'S', 'f')
	AND c.relname !~ '_hotel(_|$)' AND NOT c.relispartition ORDER BY n.nspname, c.relname COLLATE "C"
SQL

# Each is a row of the page: its part, its name, and a statement.
my @rows;
for (@functions)
{
	my ($schema, $signature, $set) = @$_;
	(my $name = $signature) =~ s/\(.*//;
	my $arguments = $calls{$signature};

	if ($schema eq 'leadscore')
	{
		ok(defined $arguments, "$signature has a row") or next;
	}
	else
	{
		# nothing of a model's: whether it may be called at all
		$arguments = join(', ', map { 'NULL::' . ($_ eq 'anyelement' ? 'int' : $_ eq 'internal' ? 'text' : $_) }
			split /, /, ($signature =~ /\((.*)\)/)[0]);
	}
	my ($statement, $kind) = $set eq 't' ? ("SELECT FROM $schema.$name($arguments)", 'sees')
	  # those that say how many rows they changed
	  : $name =~ /^outbox_(?:done|failed|retry|discard)$/ ? ("SELECT FROM $schema.$name($arguments) n WHERE n > 0", 'rows')
	  : ("SELECT $schema.$name($arguments)", 'may');
	push @rows, [ $schema eq 'leadscore' ? 'functions' : 'internal', "`$signature`", '', $statement, $kind ];
}
for (@relations)
{
	my ($schema, $name, $kind, $column, $has_model) = @$_;
	my $of_model = $name =~ s/_m_visitors$/_<model>_visitors/ || $name =~ s/_m$/_<model>/;
	my $relation = "$schema.$$_[1]";
	my $part = $schema ne 'leadscore' ? 'internal' : $of_model ? 'model' : 'relations';
	my $writes = $writes{$name} // {};

	if ($kind eq 'S')
	{
		push @rows, [ $part, "`$name`", 'SELECT', "SELECT last_value FROM $relation", 'sees' ],
			[ $part, "`$name`", 'nextval', "SELECT nextval('$relation')", 'may' ];
		next;
	}
	push @rows, [ $part, "`$name`", 'SELECT', "SELECT FROM $relation" . ($has_model eq 't' ? " WHERE model = 'm'" : ''), 'sees' ],
		[ $part, "`$name`", 'INSERT', "INSERT INTO $relation "
			. ($writes->{INSERT} // "SELECT * FROM (SELECT (NULL::$relation).*) none WHERE false"), 'may' ],
		[ $part, "`$name`", 'UPDATE', "UPDATE $relation SET " . ($writes->{UPDATE} // "$column = NULL WHERE false"),
			$writes->{UPDATE} ? 'rows' : 'may' ],
		[ $part, "`$name`", 'DELETE', "DELETE FROM $relation " . ($writes->{DELETE} // 'WHERE false'),
			$writes->{DELETE} ? 'rows' : 'may' ];
	push @rows, [ $part, "`$name`", 'TRUNCATE', "TRUNCATE $relation", 'may' ] if $kind ne 'v';
	push @rows, [ $part, "`$name`", 'LOCK', "LOCK TABLE $relation IN SHARE MODE", 'may' ];
}
my %tried = map { ($_->[1] => 1) } @rows;
is(join(' ', grep { !$tried{"`$_`"} } sort keys %calls), '', 'nothing is called that is not there');

################################################################################
# What comes of it

my $variables = "\\set job " . sql("SELECT max(job_id) FROM leadscore.lead_job WHERE state = 'waiting'")
  . "\n\\set state " . sql("SELECT encode(state, 'hex') FROM leadscore.score_m WHERE contact_id = 1")
  . "\n\\set taken '\\'"
  	. sql("SELECT coalesce(array_agg(outbox_id), '{}') FROM leadscore.lead_outbox WHERE taken_by = 'c'")
  	. "\\'::bigint[]'\n";

# tried gives what each row's statement says to a role: t or f for an error, how
# many rows, the message.
sub tried
{
	my ($role) = @_;
	my $script = <<"SQL";
\\set QUIET on
\\pset pager off
\\o /dev/null
${variables}SET client_min_messages = error;
SQL

	for my $i (0 .. $#rows)
	{
		$script .= <<"SQL";
BEGIN;
$rows[$i][3]
;
\\echo \@\@ $i :ERROR :ROW_COUNT :LAST_ERROR_MESSAGE
ROLLBACK;
SQL
	}
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-X', '-d', $node->connstr($db) . " user=$role" ], '<', \$script, '>', \$out, '2>', \$err);
	my @tried;
	while ($out =~ /^\@\@ (\d+) (\w+) (\d+)(?: (.*))?$/mg)
	{
		$tried[$1] = [ $2, $3, $4 // '' ];
	}
	die "not all was tried as $role:\n$err" if grep { !$_ } @tried[ 0 .. $#rows ];
	unlike($err, qr/XX000|server closed|invalid memory/, "$role: nothing breaks");
	return @tried;
}

sub cell
{
	my ($row, $tried, $by_superuser) = @_;
	my (undef, $name, undef, undef, $kind) = @$row;
	my ($error, $count, $message) = @$tried;

	if ($error eq 'true')
	{
		return 'refused'
			if $message =~ /^permission denied for (?:table|view|sequence|function|schema) |^cannot (?:insert into|update|delete from) (?:view|column) /;
		$message =~ s/(table|view|relation) "\w+"/$1 NAME/g;
		return "refused ($message)";
	}
	return 'may' if $kind eq 'may' || $kind eq 'sees' && $by_superuser->[1] == 0;
	return $count ? $kind eq 'rows' ? 'may' : 'sees' : $kind eq 'rows' ? 'no rows' : 'nothing';
}

my @columns = map { [ tried($_->[0]) ] } @roles;
my (%tables, @table);
for my $i (0 .. $#rows)
{
	my ($part, $name, $command) = @{ $rows[$i] };
	my $cells = join(' | ', map { cell($rows[$i], $_->[$i], $columns[0][$i]) } @columns);

	# what all but superusers are refused alike goes without saying
	next if $command !~ /^(?:SELECT)?$/ && $cells =~ /^[^|]*( \| refused)+$/;
	# commands of which the same comes are one row
	if (@table && $table[-1][0] eq $part && $table[-1][1] eq $name && $table[-1][3] eq $cells)
	{
		$table[-1][2] .= ", $command";
		next;
	}
	push @table, [ $part, $name, $command, $cells ];
}

# The page is short: overloads of a function are one row where the same comes of them, and so are
# objects and commands; the tables of visitors stand with those of the model.
my %overloads;
for my $row (@table)
{
	my ($name) = $row->[1] =~ /^`(\w+)\(/ or next;
	push @{ $overloads{"$row->[0] $name"} }, $row;
}
for my $rows (values %overloads)
{
	my %cells = map { $_->[3] => 1 } @$rows;
	if (keys %cells == 1) { $_->[1] =~ s/\(.*\)/()/ for @$rows }
}
my %of_contacts = map { ("$_->[1] $_->[2]" => $_->[3] =~ s/sees/may/gr) } grep { $_->[1] !~ /_visitors`/ } @table;
@table = grep {
	my $contacts = $_->[1] =~ s/_visitors`/`/r;
	$contacts eq $_->[1] || ($of_contacts{"$contacts $_->[2]"} // '') ne $_->[3] =~ s/sees/may/gr
} @table;
my (@short, %place);
for my $row (@table)
{
	my $like = join("\0", @$row[ 0, 2, 3 ]);
	if (my $first = $place{$like})
	{
		$first->[1] .= ", $row->[1]" if $first->[1] !~ /\Q$row->[1]\E/;
		next;
	}
	push @short, $place{$like} = [@$row];
}
@table = @short;

# a message is told once, and by its number
my (@messages, %number);
sub number_of
{
	my ($message) = @_;

	push @messages, $message unless $number{$message};
	return $number{$message} ||= @messages;
}
$_->[3] =~ s/refused \((.*?)\)(?= \||$)/'refused (' . number_of($1) . ')'/ge for @table;
$tables{ $_->[0] } .= '| ' . join(' ', grep { $_ } @$_[ 1, 2 ]) . " | $_->[3] |\n" for @table;
my $head = '| | ' . join(' | ', map { $_->[1] } @roles) . " |\n|" . '---|' x (@roles + 1) . "\n";
my $page = slurp_file($page_file);
my $wanted = $page;
$tables{messages} = join('', map { ($_ + 1) . ". $messages[$_]\n" } 0 .. $#messages);
for my $part (qw(functions relations model internal messages))
{
	my $table = ($part eq 'messages' ? '' : $head) . ($tables{$part} // '');
	$wanted =~ s/(<!-- $part -->\n).*?(<!-- end -->)/$1$table$2/s or die "docs/reference/privileges.md has no place for $part\n";
}
same_rows($page, $wanted, 'docs/reference/privileges.md says what each may do');
if ($ENV{LEADSCORE_PRIVILEGES_OUT})
{
	open(my $out, '>', $ENV{LEADSCORE_PRIVILEGES_OUT}) or die;
	print $out $wanted;
}

$node->stop;
done_testing();
