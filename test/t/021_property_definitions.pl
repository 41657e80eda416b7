# Random changes of definitions between random events: after each, what is stored,
# score() and live rows agree with test/oracle.sql and with verify(), or the model
# says what it waits for, keeps what it has, and agrees when it has that back.  What
# only gives things another name, or is undone, changes no score at all.
#
#   LEADSCORE_SEED=17        this seed only (or several: 17,18)
#   LEADSCORE_LONG=1         a hundred random seeds more (a larger number: that many)
#   LEADSCORE_STEPS=40       changes a seed
#   LEADSCORE_SKIP=name,...  leaves out changes, by the names in %changes;
#   LEADSCORE_ONLY=name,...  makes these only
#
# What a seed ran is left in tmp_check/log/021_property_definitions_seed_<n>.sql.
use strict;
use warnings;

use FindBin;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use PropertyTest;
use Test::More;

my $top = "$FindBin::Bin/..";
my %skip = map { $_ => 1 } split /,/, $ENV{LEADSCORE_SKIP} // '';
my %only = map { $_ => 1 } split /,/, $ENV{LEADSCORE_ONLY} // '';
my $steps = $ENV{LEADSCORE_STEPS} // ($ENV{LEADSCORE_LONG} ? 40 : 20);

my $node = LeadscoreNode->create('definitions', library => 'session', conf => { autovacuum => 'on' });
# a role whose privileges the owner of the model has, and one whose he has not
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE crm;
CREATE ROLE sales;
CREATE ROLE stranger;
GRANT sales TO crm;
SQL

################################################################################
# The world of one seed.  A table knows its columns by what they are, whatever
# their names are now.

my $second = 1_000_000;
my $day = 86_400 * $second;
my @things = qw(id who at what dwell url home region);

sub new_world
{
	my ($seed) = @_;
	my %w = (seed => $seed, node => $node, db => "seed_$seed", model => 'm', errors => [], names => 0, next_id => 1,
		waits => {}, undo => {},
		clock => 1_772_323_200 * $second + between(0, 86_399) * $second, session_zone => 'UTC',
		labels => [qw(open click form page)],
		attributes => { town => 'town', floor => 'floor' }, functions => { long => 'is_long', worth => 'worth' }, limit => 4,
		key_type => pick('int4', 'int4', 'int8'), owner => 'crm');
	for my $name (qw(visits orders calls deals))
	{
		$w{tables}{$name} = { name => $name, col => { map { $_ => $_ } @things }, type => { dwell => 'int4' } };
	}
	$w{contacts} = { name => 'contacts', col => { map { $_ => $_ } qw(id country employees subscribed tier) },
		type => { employees => 'int4' } };
	$w{all} = [ $w{contacts}, map { $w{tables}{$_} } qw(visits orders calls deals) ];
	open($w{trace}, '>', "$PostgreSQL::Test::Utils::log_path/021_property_definitions_seed_$seed.sql") or die "cannot write: $!";
	return \%w;
}

sub create_world
{
	my ($w) = @_;
	my $columns = "id int8, who $w->{key_type}, at timestamptz, what event_kind, dwell int4, url text, home place, region text DEFAULT 'eu'";
	my $partitioned = chance(0.5) ? 'HASH (id)' : 'RANGE (at)';
	my $leaves = $partitioned =~ /HASH/
	  ? join('', map { <<"SQL" } 0 .. 1)
CREATE TABLE orders_$_ PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER $_);
SQL
	  : <<'SQL';
CREATE TABLE orders_0 PARTITION OF orders FOR VALUES FROM ('2026-02-20') TO ('2026-03-05');
CREATE TABLE orders_1 PARTITION OF orders DEFAULT;
SQL
	return <<"SQL";
CREATE EXTENSION IF NOT EXISTS leadscore;
\\i $top/oracle.sql
\\i $top/oracle_compare.sql
GRANT ALL ON SCHEMA public TO crm, sales, stranger;
SET ROLE crm;
CREATE TYPE event_kind AS ENUM ('open', 'click', 'form', 'page');
CREATE TYPE place AS (town text, floor int);
CREATE FUNCTION is_long(int8) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT \$1 > 4';
CREATE FUNCTION worth(text) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN length(\$1); END';
CREATE TABLE contacts (gone int, id $w->{key_type} PRIMARY KEY, country text, employees int4, subscribed bool, tier event_kind);
ALTER TABLE contacts DROP COLUMN gone;
CREATE TABLE visits (gone int, $columns, PRIMARY KEY (id));
ALTER TABLE visits DROP COLUMN gone;
CREATE TABLE orders ($columns) PARTITION BY $partitioned;
${leaves}CREATE TABLE calls ($columns);
CREATE TABLE calls_old () INHERITS (calls);
CREATE TABLE deals ($columns);
CREATE INDEX visits_who ON visits (who, at);
CREATE INDEX ON orders (who, at);
SQL
}

# {dwell} in a text is that column of a table, [town] an attribute, <open> a label,
# and %long% a function, by the name that it has when the text is written.
sub named
{
	my ($w, $t, $text) = @_;
	my %label = (open => 0, click => 1, form => 2, page => 3);
	$text =~ s/\{(\w+)\}/name($t->{col}{$1})/ge;
	$text =~ s/\[(\w+)\]/name($w->{attributes}{$1})/ge;
	$text =~ s/<(\w+)>/$w->{labels}[ $label{$1} ]/ge;
	$text =~ s/%(\w+)%/public.$w->{functions}{$1}/g;
	return $text;
}

my @conditions = (
	undef, '{dwell} > 3', '{dwell} IS NOT NULL', q({what} = '<open>'), q({what} IN ('<click>', '<form>') AND {dwell} < 8),
	'({home}).[floor] > 1', q(({home}).[town] = 'Ulm' OR {url} LIKE '/p%'), '%long%({dwell})',
	'%long%({dwell} + ({home}).[floor])',
	'10 / ({dwell} - 4) > 0', q(coalesce({url}, '<open>') <> '<open>'), q({what} > '<open>' AND NOT %long%({dwell})),
	q(CASE {what} WHEN '<open>' THEN {dwell} > 1 WHEN '<page>' THEN true END),
	'{region} IS NOT NULL AND {dwell} IS DISTINCT FROM 5');
my @weights = (undef, undef, '{dwell}', '%worth%({url})', '({home}).[floor]',
	q(CASE WHEN {what} = '<form>' THEN 2 ELSE 0.5 END), '{dwell} / 4.0');
my @profile_conditions = (
	'{employees} > 50', q({country} = 'DE'), q({tier} = '<open>'), '{subscribed}', '%long%({employees})',
	q({tier} >= '<click>' AND {employees} IS NOT NULL));

sub insert_rule
{
	my ($w) = @_;
	my $name = pick(qw(visits orders calls deals));
	my $t = $w->{tables}{$name};
	return '' if %{ $w->{away} // {} } || grep { defined $_->{dropped} } @{ $w->{all} };
	my %r = (model => 'm', name => sprintf('rule %02d', ++$w->{rules}),
		kind => pick_of(7 => 'event', 2 => 'profile', 1 => 'absence'),
		points => pick(5, 10, -7, 2.5, 40));
	if ($r{kind} eq 'profile')
	{
		$r{condition} = named($w, $w->{contacts}, pick(@profile_conditions));
	}
	elsif ($r{kind} eq 'absence')
	{
		@r{qw(source idle)} = ($name, pick('2 days', '7 days'));
	}
	else
	{
		my ($condition, $weight) = (pick(@conditions), pick(@weights));
		$r{source} = $name;
		$r{event} = pick(@{ $w->{labels} }) if chance(0.5);
		$r{condition} = named($w, $t, $condition) if defined $condition;
		if (chance(0.2)) { $r{at_least} = 2 }
		elsif (defined $weight) { $r{weight} = named($w, $t, $weight) }
		@r{qw(decay decay_interval)} = ('half_life', pick('2 days', '30 days')) if chance(0.3);
		$r{time_frame} = pick('7 days', '20 days') if chance(0.2);
	}
	$w->{ruled}{$name} = 1 if $r{kind} ne 'profile';
	my @columns = sort keys %r;
	return 'INSERT INTO leadscore.lead_rule (' . join(', ', @columns) . ') VALUES ('
		. join(', ', map { quoted($r{$_}) } @columns) . ");\n";
}

# Where rows of a table can be written: itself, a part, or what stands above it.
sub written
{
	my ($w, $name) = @_;
	my $t = $w->{tables}{$name};
	return pick($t->{name}, $t->{name}, 'calls_old') if $name eq 'calls';
	return pick($t->{name}, $t->{above}) if defined $t->{above} && $name eq 'deals';
	return $t->{name};
}

sub insert_events
{
	my ($w) = @_;
	my $sql = '';
	for my $name (grep { chance(0.6) } qw(visits orders calls deals))
	{
		my $t = $w->{tables}{$name};
		my @present = grep { defined $t->{col}{$_} } @things;
		my @rows;
		for (1 .. between(1, 5))
		{
			my %v = (id => $w->{next_id}++, who => chance(0.1) ? undef : between(1, 12),
				at => instant($w->{clock} - between(0, 9) * $day - between(0, 86_399) * $second),
				what => chance(0.1) ? undef : pick(@{ $w->{labels} }), dwell => pick(undef, 0 .. 9),
				url => pick(undef, '/', '/p', $w->{labels}[0]), region => 'eu');
			$v{home} = chance(0.3) ? undef : sprintf('(%s,%s)', pick('Ulm', 'Rome', ''), pick('', 0, 1, 2));
			push @rows, '(' . join(', ', map { quoted($v{$_}) } @present) . ')';
		}
		$sql .= 'INSERT INTO ' . written($w, $name) . ' (' . join(', ', map { name($t->{col}{$_}) } @present)
			. ') VALUES ' . join(', ', @rows) . ";\n";
	}
	return $sql . (chance(0.5) ? change_events($w) : '') . (chance(0.4) ? change_contacts($w) : '');
}

sub change_events
{
	my ($w) = @_;
	my $name = pick(qw(visits orders calls deals));
	my $t = $w->{tables}{$name};
	my $target = defined $t->{above} && chance(0.5) ? $t->{above} : $t->{name};
	my $some = named($w, $t, 'WHERE {id} % ' . between(5, 9) . ' = ' . between(0, 4));
	return pick("DELETE FROM $target $some;\n", named($w, $t, "UPDATE $target SET {who} = " . between(1, 12) . " $some;\n"),
		named($w, $t, <<"SQL"),
UPDATE $target SET {what} = '<form>', {at} = {at} - interval '1 day' $some;
SQL
		defined $t->{col}{dwell} ? named($w, $t, "UPDATE $target SET {dwell} = 7 $some;\n") : ());
}

sub change_contacts
{
	my ($w) = @_;
	my $t = $w->{contacts};
	my @present = grep { defined $t->{col}{$_} } qw(id country employees subscribed tier);
	my %v = (id => between(1, 12), country => pick('DE', 'US', undef), employees => pick(undef, 1, 77),
		subscribed => pick('t', 'f', undef), tier => pick(@{ $w->{labels} }));
	my $key = quoted($v{id});
	return pick(
		named($w, $t, "DELETE FROM $t->{name} WHERE {id} = $key;\n"),
		defined $t->{col}{employees} ? named($w, $t, <<"SQL") : (),
UPDATE $t->{name} SET {employees} = {employees} + 10 WHERE {id} <= $key;
SQL
		(named($w, $t, "DELETE FROM $t->{name} WHERE {id} = $key;\n")
		  . "INSERT INTO $t->{name} (" . join(', ', map { name($t->{col}{$_}) } @present) . ') VALUES ('
		  	. join(', ', map { quoted($v{$_}) } @present) . ");\n") x 3);
}

################################################################################
# Changes.  Each gives SQL, or nothing where it cannot be made now.  keeps: no
# score is another after it.  waits: until its undoing, the model is suspended,
# or rules sleep, and the oracle is not asked.

sub fresh { my ($w, $what) = @_; return $what . '_' . ++$w->{names} }

# A column, by way of the table that stands above, where it has to be.
sub rename_column
{
	my ($w) = @_;
	my $t = pick(@{ $w->{all} });
	my $c = pick(grep { defined $t->{col}{$_} } keys %{ $t->{col} });
	return () if !defined $c;
	my ($old, $new) = ($t->{col}{$c}, pick(fresh($w, $c), ucfirst fresh($w, $c), fresh($w, $c) . ' x'));
	$t->{col}{$c} = $new;
	return sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s;\n", $t->{above} // $t->{name}, name($old), name($new));
}

sub swap_columns
{
	my ($w) = @_;
	my $t = $w->{tables}{ pick(qw(visits orders calls deals)) };
	my ($a, $b) = @{ $t->{col} }{qw(url region)};
	return () if grep { !defined } $a, $b;
	@{ $t->{col} }{qw(url region)} = ($b, $a);
	my $top = $t->{above} // $t->{name};
	return "BEGIN;\n" . join('',
		map { sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s;\n", $top, map { name($_) } @$_) } [ $a, 'aside' ],
		[ $b, $a ], [ 'aside', $b ]) . "COMMIT;\n";
}

sub rename_label
{
	my ($w) = @_;
	my $i = between(0, 3);
	my ($old, $new) = ($w->{labels}[$i], fresh($w, 'label'));
	$w->{labels}[$i] = $new;
	return "ALTER TYPE event_kind RENAME VALUE '$old' TO '$new';\n";
}

sub rename_attribute
{
	my ($w) = @_;
	my $a = pick(qw(town floor));
	my ($old, $new) = ($w->{attributes}{$a}, fresh($w, $a));
	$w->{attributes}{$a} = $new;
	return "ALTER TYPE place RENAME ATTRIBUTE $old TO $new;\n";
}

sub rename_table
{
	my ($w) = @_;
	my $t = pick(@{ $w->{all} });
	my ($old, $new) = ($t->{name}, fresh($w, 't'));
	$t->{name} = $new;
	return "ALTER TABLE $old RENAME TO $new;\n";
}

sub other_index
{
	my ($w) = @_;
	my $t = $w->{tables}{visits};
	return named($w, $t, <<"SQL");
DROP INDEX visits_who;
CREATE INDEX visits_who ON $t->{name} ({who}, {at});
ANALYZE $t->{name};
CLUSTER $t->{name} USING visits_who;
SQL
}

# Under a table that is not attached, and out of it again.
sub inherit
{
	my ($w) = @_;
	my $t = $w->{tables}{ pick(qw(visits calls)) };
	if (defined $t->{above})
	{
		my $above = delete $t->{above};
		return "ALTER TABLE $t->{name} NO INHERIT $above;\nDROP TABLE $above;\n";
	}
	$t->{above} = fresh($w, 'above');
	return "CREATE TABLE $t->{above} (LIKE $t->{name});\n" . ("ALTER TABLE $t->{name} INHERIT $t->{above};\n");
}

sub attach_partition
{
	my ($w) = @_;
	my $t = $w->{tables}{deals};
	if (defined $t->{above})
	{
		my $above = delete $t->{above};
		return "ALTER TABLE $above DETACH PARTITION $t->{name};\nDROP TABLE $above;\n";
	}
	return () if !defined $t->{col}{region};
	$t->{above} = fresh($w, 'above');
	return named($w, $t, <<"SQL");
DELETE FROM $t->{name} WHERE {region} <> 'eu' OR {region} IS NULL;
CREATE TABLE $t->{above} (LIKE $t->{name} INCLUDING DEFAULTS) PARTITION BY LIST ({region});
ALTER TABLE $t->{above} ATTACH PARTITION $t->{name} FOR VALUES IN ('eu');
SQL
}

# An online migration of the key, to its end.
sub swap_key
{
	my ($w) = @_;
	my $t = $w->{contacts};
	return () if $w->{swapped}++ || %{ $w->{waits} };
	my ($old, $new, $aside) = ($t->{col}{id}, fresh($w, 'id'), fresh($w, 'old'));
	$w->{key_type} = 'int8';
	return "BEGIN;\nALTER TABLE $t->{name} ADD $new int8;\nUPDATE $t->{name} SET $new = " . name($old)
		. ";\nALTER TABLE $t->{name} ALTER $new SET NOT NULL, ADD UNIQUE ($new), ALTER "
	  . name($old) . " DROP DEFAULT;\nUPDATE leadscore.lead_model SET key = '$new' WHERE model = 'm';\n"
	  . sprintf(<<'SQL', $t->{name}, name($old), $t->{name}, $new, name($old));
ALTER TABLE %s DROP COLUMN %s;
ALTER TABLE %s RENAME COLUMN %s TO %s;
COMMIT;
SQL
}

sub key_type
{
	my ($w) = @_;
	return () if $w->{key_type} ne 'int4' || %{ $w->{waits} };
	$w->{key_type} = 'int8';
	return sprintf("ALTER TABLE %s ALTER %s TYPE int8;\n", $w->{contacts}{name}, name($w->{contacts}{col}{id}));
}

# A column of another type, with the same values.
sub column_type
{
	my ($w) = @_;
	my ($t, $c) = @{ pick([ $w->{tables}{visits}, 'dwell' ], [ $w->{tables}{calls}, 'dwell' ], [ $w->{contacts}, 'employees' ]) };
	return () if !defined $t->{col}{$c};
	my $type = $t->{type}{$c} = $t->{type}{$c} eq 'int4' ? 'int8' : 'int4';
	return sprintf("ALTER TABLE %s ALTER %s TYPE %s;\n", $t->{above} // $t->{name}, name($t->{col}{$c}), $type);
}

# A column that rules name, and another of that name.
sub drop_column
{
	my ($w) = @_;
	my ($t, $c, $type) = @{ pick([ $w->{tables}{ pick(qw(visits orders calls deals)) }, 'dwell', 'int4' ],
		[ $w->{contacts}, 'employees', 'int4' ]) };
	if (defined $t->{dropped})
	{
		my $dropped = delete $t->{dropped};
		$t->{col}{$c} = $dropped;
		return sprintf("ALTER TABLE %s ADD COLUMN %s %s DEFAULT 6;\n", $t->{above} // $t->{name}, name($dropped),
			$t->{type}{$c} //= $type);
	}
	$t->{dropped} = $t->{col}{$c};
	$t->{col}{$c} = undef;
	return sprintf("ALTER TABLE %s DROP COLUMN %s;\n", $t->{above} // $t->{name}, name($t->{dropped}));
}

sub replace_function
{
	my ($w) = @_;
	return () if $w->{away}{long};
	$w->{limit} = between(0, 9);
	return <<"SQL";
CREATE OR REPLACE FUNCTION $w->{functions}{long}(int8) RETURNS bool
	LANGUAGE sql IMMUTABLE AS 'SELECT \$1 > $w->{limit}';
SQL
}

# Rules that use it sleep until it is there again.
sub rename_function
{
	my ($w) = @_;
	my ($f, $type) = @{ pick([ 'long', 'int8' ], [ 'worth', 'text' ]) };
	my $name = $w->{functions}{$f};
	if ($w->{away}{$f})
	{
		delete $w->{away}{$f};
		return "ALTER FUNCTION ${name}_away($type) RENAME TO $name;\n";
	}
	$w->{away}{$f} = 1;
	return "ALTER FUNCTION $name($type) RENAME TO ${name}_away;\n";
}

sub drop_function
{
	my ($w) = @_;
	return () if $w->{away}{long};
	return "DROP FUNCTION $w->{functions}{long}(int8);\n" . (chance(0.5) ? insert_events($w) : '')
	  . "CREATE FUNCTION $w->{functions}{long}(int8) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT \$1 > $w->{limit}';\n";
}

# waiting(what => [do, undo]): the model is suspended in between.
sub waiting
{
	my ($w, $what, $do, $undo) = @_;
	if ($w->{waits}{$what})
	{
		delete $w->{waits}{$what};
		return $undo;
	}
	return () if %{ $w->{waits} };
	$w->{waits}{$what} = 1;
	return $do;
}

sub unique_index
{
	my ($w) = @_;
	my ($t, $key) = ($w->{contacts}{name}, name($w->{contacts}{col}{id}));
	return () if $w->{swapped};
	return waiting($w, 'unique index', "ALTER TABLE $t DROP CONSTRAINT contacts_pkey;\n", <<"SQL");
ALTER TABLE $t ADD CONSTRAINT contacts_pkey PRIMARY KEY ($key);
SQL
}

sub row_security
{
	my ($w) = @_;
	my $t = $w->{contacts}{name};
	return waiting($w, 'row security', <<"SQL", "ALTER TABLE $t NO FORCE ROW LEVEL SECURITY" . pick('', ', DISABLE ROW LEVEL SECURITY') . ";\n");
ALTER TABLE $t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SQL
}

sub revoke
{
	my ($w) = @_;
	my $t = $w->{contacts}{name};
	return waiting($w, 'rights', "REVOKE SELECT ON $t FROM $w->{owner};\n", "GRANT SELECT ON $t TO $w->{owner};\n");
}

# The same of a table with events: its rules sleep, and the rest of the model goes on.
# Where it has no rules nothing is to be told.
# none_awake tells whether no rule may be awake that reads visits.  While a function is away, all of
# them may sleep for that already, and nobody is told of a second reason.
sub none_awake
{
	my ($w) = @_;
	return !$w->{ruled}{visits} || (!%{ $w->{waits} } && %{ $w->{away} // {} });
}

sub source_security
{
	my ($w) = @_;
	my $t = $w->{tables}{visits}{name};
	return () if none_awake($w);
	return waiting($w, 'source', <<"SQL", <<"SQL");
ALTER TABLE $t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SQL
ALTER TABLE $t NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
SQL
}

sub source_rights
{
	my ($w) = @_;
	my $t = $w->{tables}{visits}{name};
	return () if $w->{owner} ne 'crm' || none_awake($w);
	# crm is a member of sales
	return waiting($w, 'source rights', "REVOKE SELECT ON $t FROM crm, sales;\n", "GRANT SELECT ON $t TO crm;\n");
}

sub owner_of_strangers
{
	my ($w) = @_;
	my $t = $w->{contacts}{name};
	return waiting($w, 'owner', "ALTER TABLE $t OWNER TO stranger;\n", <<"SQL");
ALTER TABLE $t OWNER TO $w->{owner};
UPDATE leadscore.lead_model SET enabled = true WHERE model = 'm';
SQL
}

sub disable_model
{
	my ($w) = @_;
	return waiting($w, 'disabled', <<'SQL', <<'SQL');
UPDATE leadscore.lead_model SET enabled = false WHERE model = 'm';
SQL
UPDATE leadscore.lead_model SET enabled = true WHERE model = 'm';
SQL
}

sub owner_of_ours
{
	my ($w) = @_;
	return () if %{ $w->{waits} };
	my $tables = join('', map { "GRANT SELECT ON $_->{name} TO sales;\n" } values %{ $w->{tables} });
	$w->{owner} = $w->{owner} eq 'crm' ? 'sales' : 'crm';
	return "${tables}ALTER TABLE $w->{contacts}{name} OWNER TO $w->{owner};\nUPDATE leadscore.lead_model SET enabled = true WHERE model = 'm';\n";
}

sub undone
{
	my ($w) = @_;
	my $t = $w->{tables}{visits};
	my $table = $t->{above} // $t->{name};
	return named($w, $t, <<"SQL");
BEGIN;
ALTER TABLE $table DROP COLUMN {at} CASCADE;
ROLLBACK;
BEGIN;
ALTER TYPE event_kind RENAME VALUE '<open>' TO 'undone';
SAVEPOINT s;
ALTER TABLE $w->{contacts}{name} FORCE ROW LEVEL SECURITY, ENABLE ROW LEVEL SECURITY;
ROLLBACK TO s;
ALTER TYPE event_kind RENAME VALUE 'undone' TO '<open>';
COMMIT;
SQL
}

my %changes = (
	rename_column => [ \&rename_column, 6, 'keeps' ], swap_columns => [ \&swap_columns, 2, 'keeps' ],
	rename_label => [ \&rename_label, 4, 'keeps' ],
	rename_attribute => [ \&rename_attribute, 3, 'keeps' ], rename_table => [ \&rename_table, 2, 'keeps' ],
	other_index => [ \&other_index, 1, 'keeps' ],
	inherit => [ \&inherit, 3, 'keeps' ], attach_partition => [ \&attach_partition, 3 ],
	swap_key => [ \&swap_key, 1, 'keeps' ], key_type => [ \&key_type, 1, 'keeps' ],
	column_type => [ \&column_type, 2, 'keeps' ], drop_column => [ \&drop_column, 2 ],
	replace_function => [ \&replace_function, 1 ],
	rename_function => [ \&rename_function, 2 ], drop_function => [ \&drop_function, 1 ],
	unique_index => [ \&unique_index, 2 ], row_security => [ \&row_security, 2 ],
	revoke => [ \&revoke, 2 ], owner_of_strangers => [ \&owner_of_strangers, 2 ],
	owner_of_ours => [ \&owner_of_ours, 1, 'keeps' ],
	source_security => [ \&source_security, 1 ], source_rights => [ \&source_rights, 1 ],
	disable_model => [ \&disable_model, 1 ], undone => [ \&undone, 2, 'keeps' ]);

sub change
{
	my ($w) = @_;
	my @possible = grep { !$skip{$_} && (!%only || $only{$_}) } sort keys %changes;
	for (1 .. 50)
	{
		my $name = pick_of(map { $changes{$_}[1] => $_ } @possible);
		my $sql = $changes{$name}[0]->($w);
		return ($name, $sql, defined $changes{$name}[2]) if defined $sql && $sql ne '';
	}
	die 'nothing can be changed any more';
}

################################################################################

my $columns = "what, 'contact ' || contact, t AT TIME ZONE 'UTC' || '+00', concat('engine ', engine), concat('oracle ', oracle), bound";
sub scores
{
	my ($w, $what) = @_;
	return run($w, 'scores', <<"SQL");
SELECT string_agg(contact_id || ' ' || round($what\::numeric, 6), ', ' ORDER BY contact_id) FROM leadscore.score_m;
SQL
}

sub compare
{
	my ($w, $when) = @_;
	is_empty($w, <<"SQL", $when);
SELECT leadscore.refresh('m') \\gset
SELECT * FROM leadscore.verify('m');
SELECT $columns FROM oracle.live_differences('m');
SELECT $columns FROM oracle.stored_differences('m');
SQL
}

sub one_step
{
	my ($w, $step) = @_;
	my $waited = %{ $w->{waits} };

	$w->{clock} += between(0, 40) * 3600 * $second;
	run($w, 'refresh', "SELECT leadscore.refresh('m');\n");
	my %before = map { $_ => scores($w, $_) } 'score', $waited ? () : "leadscore.score('m', contact_id)";
	my ($name, $sql, $keeps) = change($w);
	my $what = "step $step, $name";
	run($w, $what, $sql);
	my $waits = %{ $w->{waits} };
	# one that is switched off by its owner may be counted where its rules change; a source of
	# which nothing can be read takes its points along
	if (($keeps || $waits) && !($waited && !$waits) && !grep { $w->{waits}{$_} } 'disabled', 'source', 'source rights')
	{
		run($w, 'refresh', "SELECT leadscore.refresh('m');\n");
		my $which = $waits ? 'score' : "leadscore.score('m', contact_id)";
		is(scores($w, $which), $before{$which}, "seed $w->{seed}: $what: all scores are what they were") or diag($sql);
	}
	if ($waits)
	{
		run($w, 'events while the model waits', insert_events($w));
		is(run($w, 'enabled', <<'SQL'),
SELECT enabled AND NOT EXISTS (SELECT FROM leadscore.lead_job WHERE error LIKE 'model "m" is suspended: %')
AND NOT EXISTS (SELECT FROM leadscore.rule_errors WHERE sqlstate IN ('42501', '0A000')) FROM leadscore.lead_model;
SQL
			'f', "seed $w->{seed}: $what: the model says that it waits") or diag($sql);
		return;
	}
	compare($w, "$what");
	run($w, "events after step $step", insert_events($w) . (chance(0.15) ? insert_rule($w) : ''));
	compare($w, "$what, and events");
}

sub run_seed
{
	my ($seed) = @_;
	srand(($seed * 2654435761) % 4294967296);
	$node->safe_psql('postgres', "CREATE DATABASE seed_$seed");
	my $w = new_world($seed);
	run($w, 'world', create_world($w));
	run($w, 'contacts', join('', map { change_contacts($w) } 1 .. 15));
	run($w, 'events', insert_events($w));
	run($w, 'model', "SET ROLE crm;\nSELECT leadscore.create_model('m', 'contacts');\n"
		. join('', map { "SELECT leadscore.attach('m', '$_', 'who', 'at', 'what');\n" } qw(visits orders calls deals)));
	run($w, 'rules', join('', map { insert_rule($w) } 1 .. 12));
	run($w, 'events', join('', map { insert_events($w) } 1 .. 4));
	compare($w, 'before any change');
	for my $step (1 .. $steps)
	{
		my $failed = grep { !$_ } Test::More->builder->summary;
		one_step($w, $step);
		last if ($failed != grep { !$_ } Test::More->builder->summary);
	}
	is(scalar @{ $w->{errors} }, 0, "seed $seed: no errors");
	close($w->{trace});
	$node->safe_psql('postgres', "DROP DATABASE $w->{db}") if $ENV{LEADSCORE_LONG};
}

run_seeds(\&run_seed, 100, 3, 7, 11);
$node->stop;
done_testing();
