# Random models, rules and events: after every kind of write, score(), replay(),
# explain() and the stored rows agree with test/oracle.sql, which is written from
# the definition of a score alone.
#
#   LEADSCORE_SEED=17        this seed only (or several: 17,18)
#   LEADSCORE_LONG=1         forty random seeds more (a larger number: that many)
#   LEADSCORE_SKIP=leaf,inherited,key,rules,profile,absence,merge,levels,queued,truncate,detach,identity,purge,going,rest
#                            leave out what is named; rest: all but events that go
#
# In some seeds writers are under transaction snapshots, and some sources are queued:
# then the stored rows are compared when what is pending has been folded in, and what
# is told by score(), explain() and live rows at any time.
#
# What a seed ran is left in tmp_check/log/020_property_seed_<n>.sql.
use strict;
use warnings;

use FindBin;
use LeadscoreNode;
use POSIX qw(floor);
use PostgreSQL::Test::Utils;
use PropertyTest;
use Test::More;

my %skip = map { $_ => 1 } split /,/, $ENV{LEADSCORE_SKIP} // '';
my $top = "$FindBin::Bin/..";
# Not preloaded for the server: a worker would go by the real clock.
my $node = LeadscoreNode->create('property', library => 'session', conf => { autovacuum => 'on' });

# What this build has: who is whose, and events that are purged but kept in the scores.
my %can;

sub find_features
{
	my ($db) = @_;
	$can{identity} = !$skip{identity}
		&& $node->safe_psql($db, "SELECT to_regprocedure('leadscore.merge_contacts(text,text,text)') IS NOT NULL") eq 't';
	$can{purge} = !$skip{purge}
		&& $node->safe_psql($db, "SELECT count(*) FROM pg_settings WHERE name = 'leadscore.on_delete'") eq '1';
}

################################################################################
# Time: integers, microseconds since 1970, UTC

my $second = 1_000_000;
my $hour = 3600 * $second;
my $day = 24 * $hour;

sub read_instant
{
	my ($text) = @_;
	require Time::Local;
	$text =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)(?:\.(\d+))?\+00$/ or die "not an instant: $text";
	my $us = substr(($7 // '') . '000000', 0, 6);
	return Time::Local::timegm_modern($6, $5, $4, $3, $2 - 1, $1) * $second + $us;
}

# Intervals that rules are made of, with their seconds.
my %seconds = (
	'1 second' => 1, '1.5 seconds' => 1.5, '90 seconds' => 90, '1 minute' => 60, '10 minutes' => 600, '1 hour' => 3600,
	'2 hours' => 7200, '12 hours' => 43200, '1 day' => 86400, '24:30:00' => 88200, '30 hours' => 108000, '36 hours' => 129600,
	'3 days' => 3 * 86400, '3.5 days' => 3.5 * 86400, '5 days 12:00:00' => 5.5 * 86400, '7 days' => 7 * 86400,
	'10 days' => 10 * 86400, '14 days' => 14 * 86400, '1 mon -3 days' => 27 * 86400, '1 mon' => 30 * 86400,
	'90 days' => 90 * 86400, '1 year' => 365 * 86400, '14 mons' => 425 * 86400, '600 days' => 600 * 86400,
	'2 years' => 730 * 86400);
my @frames = ('10 minutes', '2 hours', '1 day', '36 hours', '3 days', '7 days', '7 days', '14 days', '14 days', '1 mon -3 days',
	'1 mon', '1 mon', '90 days', '14 mons', '600 days', '2 years');
my @decays = ('90 seconds', '1 hour', '12 hours', '1 day', '36 hours', '3.5 days', '7 days', '7 days', '10 days',
	'1 mon', '1 mon', '90 days', '1 year', '2 years');
my @periods = ('1 second', '1.5 seconds', '1 minute', '1 hour', '12 hours', '1 day', '1 day', '24:30:00', '30 hours', '3 days',
	'3.5 days', '7 days', '1 mon');
my @idles = ('1 hour', '1 day', '36 hours', '3.5 days', '7 days', '10 days', '1 mon', '1 mon -3 days', '14 mons');

################################################################################
# The world of one seed

sub new_world
{
	my ($seed) = @_;
	my %w = (seed => $seed, node => $node, db => "seed_$seed", model => pick('b2b', 'm', 'second_2', 'ev'),
		next_id => 1, rules => 0);

	# [zone, an instant about which its clocks change]
	my $zone = pick(
		[ 'America/New_York', '2025-11-02 06:00:00+00' ], [ 'America/New_York', '2026-03-08 07:00:00+00' ],
		[ 'Europe/London', '2026-03-29 01:00:00+00' ], [ 'Australia/Lord_Howe', '2026-04-04 15:00:00+00' ],
		[ 'America/St_Johns', '2010-11-07 02:31:00+00' ], [ 'Asia/Kolkata', '2026-01-20 00:00:00+00' ],
		[ 'Pacific/Apia', '2011-12-30 10:00:00+00' ], [ 'America/Sao_Paulo', '2018-11-04 03:00:00+00' ],
		[ 'UTC', '2026-01-01 00:00:00+00' ], [ 'UTC', '2025-12-29 00:00:00+00' ]);
	$w{zone} = $zone->[0];
	$w{change} = read_instant($zone->[1]);
	$w{base} = $w{change} - between(10, 30) * $day - between(0, 86399) * $second;
	$w{clock} = $w{base} + between(1, 5) * $day + between(0, 86399) * $second;
	$w{instants} = [ $w{base} ];

	$w{key_type} = ('int4', 'int8', 'uuid', 'text')[ $seed % 4 ];
	$w{small_keys} = $seed % 8 == 1;	# int8 keys that an int4 column holds
	$w{keys} = [ map { make_key($w{small_keys} ? 'int4' : $w{key_type}, $_) } 1 .. 30 ];
	# how writers of this seed begin their transactions
	$w{level} = $skip{levels} ? undef : pick(undef, undef, 'repeatable read', 'serializable');
	$w{identity} = $can{identity} && chance(0.5);
	$w{visitors} = [ map { "v$_" } 1 .. 9 ];
	$w{merged} = {};
	$w{ghosts} = [ map { make_key($w{small_keys} ? 'int4' : $w{key_type}, $_) } 901 .. 905 ];
	$w{rows} = {};	# keys that have a row in the contact table

	$w{created_at} = chance(0.6) ? pick('timestamptz', 'timestamptz', 'timestamp', 'date') : undef;
	$w{contacts} = {
		into => 'contacts',
		columns => [ 'id', 'country', 'employees', 'revenue', 'subscribed', 'email', 'since' ],
		types => [ $w{key_type}, 'text', 'int4', 'float8', 'bool', 'text', $w{created_at} // 'timestamptz' ] };

	$w{tables} = [ make_table(\%w, 'visits', 'plain') ];
	push @{ $w{tables} }, make_table(\%w, 'orders', 'partitioned') if chance(0.6);
	push @{ $w{tables} }, make_table(\%w, 'mails', 'two sources') if chance(0.6);
	push @{ $w{tables} }, make_table(\%w, 'calls', 'inherited') if !$skip{inherited} && @{ $w{tables} } < 3 && chance(0.3);
	$w{sources} = [ map { @{ $_->{sources} } } @{ $w{tables} } ];

	$w{categories} = [ shuffled('fit', 'engagement', chance(0.5) ? ('intent') : (), chance(0.2) ? ('web') : ()) ];

	open($w{trace}, '>', "$PostgreSQL::Test::Utils::log_path/020_property_seed_$seed.sql") or die "cannot write: $!";
	return \%w;
}

sub make_key
{
	my ($type, $n) = @_;
	return $n if $type eq 'int4';
	return $n * 10_000_000_019 if $type eq 'int8';
	return sprintf('%08x-0000-4000-8000-%012x', ($n * 2654435761) % 4294967296, $n) if $type eq 'uuid';
	return pick("lead$n\@example.org", "Lead $n", "Läufer $n", "o'$n");
}

sub make_table
{
	my ($w, $table_name, $kind) = @_;
	my $time = chance(0.3) ? 'At' : 'at';
	my $who = chance(0.2) ? 'Who Did' : 'who';
	my $time_type = pick_of(6 => 'timestamptz', 2 => 'timestamp', 2 => 'date');

	my %t = (
		name => $table_name, into => $table_name, kind => $kind, who => $who, time => $time, rows => 0,
		key => $kind ne 'inherited',
		columns => [ 'id', $who, $time, 'what', 'dwell', 'amount', 'url', 'props' ],
		types => [
			'int8',
			# what casts to the key's type implicitly
			$w->{key_type} eq 'text' && chance(0.3) ? 'varchar(60)' : $w->{small_keys} && $kind ne 'plain'
				? 'int4' : $w->{key_type},
			$time_type, pick_of(3 => 'text', 1 => 'varchar(20)', 1 => 'event_name'), 'int4',
			pick('float8', 'numeric'), 'text', 'jsonb' ]);
	my %source = (table => \%t, zone => chance(0.3) ? pick('Asia/Tokyo', 'America/New_York', 'UTC') : undef,
		late => chance(0.3), mode => !$skip{queued} && chance(0.35) ? 'queued' : undef);
	if ($w->{identity} && chance(0.6))
	{
		push @{ $t{columns} }, 'cookie';
		push @{ $t{types} }, 'text';
		$source{visitor} = 'cookie';
	}

	if ($kind eq 'two sources')
	{
		push @{ $t{columns} }, 'opened';
		push @{ $t{types} }, pick('timestamptz', 'timestamptz', 'timestamp', 'date');
		$t{opened} = $#{ $t{columns} };
		$t{sources} = [
			{ %source, name => 'sent', time => $time, event => 'what' },
			{ %source, name => 'opened', time => 'opened', event => chance(0.6) ? 'what' : undef, late => chance(0.3),
				mode => !$skip{queued} && chance(0.35) ? 'queued' : undef } ];
	}
	else
	{
		$t{sources} = [ { %source, name => chance(0.8) ? $table_name : "my $table_name", time => $time,
			event => chance(0.9) ? 'what' : undef } ];
	}
	if ($kind eq 'partitioned')
	{
		$t{partition_by} = pick('time', 'id');
		$t{key} = $t{partition_by} eq 'id';
	}
	return \%t;
}

# A dropped column in front moves the others' numbers.
sub definition
{
	my ($t, $primary) = @_;
	my $n = 0;
	return "gone int, "
		. join(', ', map { name($_) . " $t->{types}[$n++]" . ($_ eq $primary ? ' PRIMARY KEY' : '') } @{ $t->{columns} });
}

sub create_tables
{
	my ($w) = @_;
	my $sql = "CREATE TYPE event_name AS ENUM ('open', 'click', 'form', 'page', 'Open', '');\n";

	$sql .= 'CREATE TABLE contacts (' . definition($w->{contacts}, 'id') . ");\nALTER TABLE contacts DROP COLUMN gone;\n";
	for my $t (@{ $w->{tables} })
	{
		$sql .= "CREATE TABLE $t->{name} (" . definition($t, $t->{key} ? 'id' : '') . ')';
		if (($t->{partition_by} // '') eq 'id')
		{
			$sql .= " PARTITION BY HASH (id);\n"
			  . join('', map { <<"SQL" } 0 .. 2);
CREATE TABLE $t->{name}_$_ PARTITION OF $t->{name} FOR VALUES WITH (MODULUS 3, REMAINDER $_);
SQL
		}
		elsif ($t->{partition_by})
		{
			my @bounds = map { quoted(substr(wall_clock($w->{base} + $_ * 15 * $day), 0, 10)) } 0 .. 3;
			$sql .= ' PARTITION BY RANGE (' . name($t->{time}) . ");\n"
			  . "CREATE TABLE $t->{name}_rest PARTITION OF $t->{name} DEFAULT;\n"
			  . join('', map { <<"SQL" } 0 .. 2);
CREATE TABLE $t->{name}_$_ PARTITION OF $t->{name} FOR VALUES FROM ($bounds[$_]) TO ($bounds[$_ + 1]);
SQL
		}
		else
		{
			$sql .= ";\n";
		}
		$sql .= "ALTER TABLE $t->{name} DROP COLUMN gone;\n";
		$sql .= "CREATE TABLE $t->{name}_old () INHERITS ($t->{name});\n" if $t->{kind} eq 'inherited';
		$sql .= "CREATE INDEX ON $t->{name} (" . name($t->{who}) . ', ' . name($t->{time}) . ");\n" if chance(0.7);
	}
	return $sql;
}

sub contact_row
{
	my ($w, $key) = @_;
	my $since = chance(0.1) ? undef : chance(0.05)
		? pick('infinity', '-infinity') : wall_clock($w->{base} + between(-60, 30) * $day + between(0, 9) * $hour);
	$since .= '+00' if defined $since && $since =~ /^\d/ && ($w->{created_at} // 'timestamptz') eq 'timestamptz';
	$w->{rows}{$key} = 1;
	return [
		$key, pick('DE', 'US', 'XX', undef), pick(undef, 0, 1, between(1, 500)), pick(undef, 'NaN', between(-1000, 9000) / 4),
		pick('t', 'f', undef), pick('a@gmail.com', 'ceo@example.com', '', undef), $since ];
}

# An instant for an event: late, in order, to come, at special times.
sub event_instant
{
	my ($w, $since) = @_;
	my $at = pick_of(
		55 => sub { $since + int(rand($w->{clock} - $since)) },
		20 => sub { $w->{base} + int(rand($w->{clock} - $w->{base})) },
		5 => sub { $w->{clock} + between(1, 20 * 86400) * $second },
		4 => sub { pick(@{ $w->{instants} }) },		# one that was there before
		4 => sub { floor($w->{clock} / $day) * $day - between(0, 9) * $day },	# midnight
		3 => sub { $w->{change} + between(-4, 4) * $hour / 2 },		# where the clocks change
		2 => sub { $w->{clock} },
		2 => sub { $w->{clock} - between(100, 900) * $day },
		1 => sub { pick(read_instant('1970-01-01 00:00:00+00'), read_instant('1931-05-04 03:02:01+00'),
			read_instant('2481-01-01 00:00:00+00')) }
	)->();
	$at = floor($at / $second) * $second if chance(0.3);
	push @{ $w->{instants} }, $at if @{ $w->{instants} } < 200;
	return $at;
}

sub time_value
{
	my ($w, $since, $type) = @_;
	return undef if chance(0.03);
	return pick('infinity', '-infinity') if chance(0.02);
	my $at = wall_clock(event_instant($w, $since));
	return $type eq 'timestamptz' ? "$at+00" : $type eq 'date' ? substr($at, 0, 10) : $at;
}

sub event_row
{
	my ($w, $t, $since) = @_;
	my @row = (
		$w->{next_id}++,
		chance($t->{sources}[0]{visitor} ? 0.25 : 0.03) ? undef : chance(0.06) ? pick(@{ $w->{ghosts} }) : pick(@{ $w->{keys} }),
		time_value($w, $since, $t->{types}[2]),
		pick('open', 'open', 'open', 'click', 'click', 'form', 'page', 'Open', '', undef),
		pick(undef, between(0, 10), between(0, 10), between(0, 10)),
		chance(0.1) ? undef : chance(0.02) ? 'NaN' : chance(0.01) && $t->{types}[5] eq 'float8'
			? pick('Infinity', '-Infinity', '1e308')
		  : chance(0.003) ? '1000000000.5' : sprintf('%.2f', rand(150) - 50),
		pick('/pricing', '/pricing/eu', '/home', '/HOME', '/p', undef),
		pick(undef, '{}', '{"plan": "pro", "n": "7"}', '{"plan": "free", "n": "2.5"}', '{"n": "many"}',
			'{"plan": null, "n": "3"}'));
	push @row, chance(0.2) ? undef : pick(@{ $w->{visitors} }) if $t->{sources}[0]{visitor};
	push @row, chance(0.5) ? undef : time_value($w, $since, $t->{types}[ $t->{opened} ]) if $t->{kind} eq 'two sources';
	$t->{rows}++;
	return \@row;
}

################################################################################
# Rules

my @event_conditions = (
	'dwell > 5', 'dwell IS NULL', 'NOT (dwell > 5)', q(url LIKE '/pricing%'), q(url ~ '^/p' -- pages), '10 / (dwell - 4) > 0',
	q{(props->>'n')::float8 > 2}, q(props ? 'plan'), q(props->>'plan' = 'pro' OR amount > 20), 'true', 'NULL::boolean',
	'amount > 0 AND dwell < 8', 'coalesce(amount, 0) < 10', q(what = 'open' AND dwell > 1), q(lower(url) = '/home'),
	'sqrt(amount) > 3');
my @event_weights = (
	'dwell', 'dwell / 10.0', 'amount', '-amount', 'amount * 0.1', '100.0 / (dwell - 3)', 'CASE WHEN dwell > 5 THEN 2 END',
	'ln(dwell)', q{(props->>'n')::float8}, 'sqrt(amount)', '1', 'least(amount, 10)', '1 / 3.0');
my @profile_conditions = (
	undef, q(country = 'DE'), 'employees > 50', q{country IN ('DE', 'US') AND employees IS NOT NULL}, '1000 / employees > 10',
	q(email LIKE '%@gmail.com'), 'subscribed', 'NOT subscribed', 'revenue > 1000', q(country <> 'XX' OR NULL));
my @profile_weights = ('employees', 'ln(employees)', 'revenue / 1000', 'CASE WHEN subscribed THEN 1.5 END');

# Seconds of the rule's period, or undef where the definition refuses it.  Only
# for not making rules that are refused: the oracle has its own.
sub period_of
{
	my ($r) = @_;
	my $frame = defined $r->{time_frame} ? $seconds{ $r->{time_frame} } : undef;
	my $decay = defined $r->{decay_interval} ? $seconds{ $r->{decay_interval} } : undef;
	my $span = $frame // ($r->{decay} eq 'linear' ? $decay : undef);
	my $p;

	if (defined $r->{period})
	{
		$p = $seconds{ $r->{period} };
	}
	elsif ($r->{decay} eq 'step')
	{
		($p) = grep { floor($decay / $_) == $decay / $_ && (!defined $frame || $frame <= 512 * $_) } (86400, 3600, 60, 1);
		$p //= $decay;
	}
	elsif (!defined $frame && !defined $decay)
	{
		$p = 86400;
	}
	else
	{
		my ($shorter) = sort { $a <=> $b } grep { defined } $frame, $decay;
		($p) = grep { 8 * $_ <= $shorter } (86400, 3600, 60, 1);
		$p = 7 * 86400 if defined $p && $p == 86400 && defined $span && $span > 512 * 86400;
	}
	return undef if !defined $p || (defined $span && $span > 512 * $p);
	return undef if $r->{decay} eq 'step' && abs($decay / $p - floor($decay / $p + 1e-9)) > 1e-9;
	return $p;
}

sub some_points { return pick(5, 10, 25, 80, -5, -10, between(-40, 60), 0.1, 2.5, -1 / 3, 1 / 7, between(-300, 300) / 16) || 1 }

sub limits
{
	my ($w, $r) = @_;
	$r->{max_points} = pick(0, 5, 12.5, 40, 100) if chance(0.25);
	if (chance(0.08))
	{
		$r->{disqualifies} = 'true';
		$r->{points} = 0 if chance(0.5);
	}
	$r->{enabled} = 'false' if chance(0.08);
	$r->{draft} = 'true' if chance(0.08);
	if ($r->{kind} ne 'profile')
	{
		my ($from, $before) = sort { $a <=> $b } map { $w->{base} + between(0, 40 * 86400) * $second } 1 .. 2;
		($from, $before) = (pick(@{ $w->{instants} }), undef) if chance(0.3);
		$r->{events_from} = instant($from) if chance(0.12);
		$r->{events_before} = instant($before) if defined $before && $before > $from && chance(0.12);
	}
}

sub make_rule
{
	my ($w) = @_;
	my @sources = grep { $_->{attached} } @{ $w->{sources} };
	my %r = (
		model => $w->{model}, name => sprintf('rule %02d', ++$w->{rules}), points => some_points(),
		category => chance(0.5) ? undef : pick(@{ $w->{categories} }),
		kind => pick_of(65 => 'event', $skip{absence} ? () : (17 => 'absence'), $skip{profile} ? () : (18 => 'profile')));

	if ($r{kind} eq 'profile')
	{
		$r{condition} = pick(@profile_conditions);
		$r{weight} = pick(@profile_weights) if chance(0.3);
	}
	elsif ($r{kind} eq 'absence')
	{
		my $s = chance(0.5) ? undef : pick(@sources);
		$r{source} = $s->{name} if $s;
		$r{event} = pick('open', 'click', 'form') if chance(0.5) && (!$s || $s->{event}) && (grep { $_->{event} } @sources);
		$r{condition} = pick(@event_conditions) if $s && chance(0.3);
		$r{idle} = pick(@idles);
		$r{award} = pick(undef, 'each', 'once');
	}
	else
	{
		my $s = pick(@sources);
		$r{source} = $s->{name} unless @sources == 1 && chance(0.3);
		$r{event} = pick('open', 'open', 'click', 'form', 'Open', '', 'page') if $s->{event} && chance(0.75);
		$r{condition} = pick(@event_conditions) if chance(0.4);
		$r{award} = pick(undef, undef, 'each', 'once');
		$r{at_least} = between(2, 4) if chance(0.3);
		my $award = $r{award} // (($r{at_least} // 1) > 1 ? 'once' : 'each');
		do
		{
			delete @r{qw(time_frame decay decay_interval decay_keep period max_per_period)};
			$r{time_frame} = pick(@frames) if chance(0.45);
			$r{decay} = pick_of(35 => 'none', 30 => 'half_life', 15 => 'linear', 20 => 'step');
			$r{decay_interval} = pick(@decays) if $r{decay} ne 'none';
			$r{decay_keep} = pick(0, 0.25, 0.5, 0.75, 0.9, 1) if $r{decay} eq 'step';
			$r{max_per_period} = pick(0, 5, 12.5, 30) if $award eq 'each' && chance(0.3);
			$r{bucketed} = defined $r{time_frame} || defined $r{max_per_period} || $r{decay} =~ /linear|step/;
			$r{period} = pick(@periods) if $r{bucketed} && chance(0.3);
		} while ($r{bucketed} && !defined period_of(\%r));
		$r{weight} = pick(@event_weights) if $award eq 'each' && chance(0.45);
	}
	limits($w, \%r);
	delete $r{bucketed};
	delete $r{decay} if ($r{decay} // '') eq 'none' && chance(0.5);
	return \%r;
}

sub insert_row
{
	my ($table, $r) = @_;
	my @columns = sort grep { defined $r->{$_} } keys %$r;
	return "INSERT INTO $table (" . join(', ', @columns) . ")\nVALUES ("
		. join(', ', map { quoted($r->{$_}) } @columns) . ");\n";
}

sub insert_rule
{
	my ($w) = @_;
	return insert_row('leadscore.lead_rule', make_rule($w));
}

sub change_rule
{
	my ($w) = @_;
	my $where = "WHERE model = '$w->{model}' AND name = '" . sprintf('rule %02d', between(1, $w->{rules})) . "'";
	my $condition = pick('dwell > 3', '10 / (dwell - 2) > 1');
	return pick(
		"UPDATE leadscore.lead_rule SET points = points * 1.5 $where;\n",
		"UPDATE leadscore.lead_rule SET enabled = NOT enabled $where;\n",
		"UPDATE leadscore.lead_rule SET draft = NOT draft $where;\n",
		"UPDATE leadscore.lead_rule SET max_points = 7.5 $where;\n",
		"UPDATE leadscore.lead_rule SET condition = '$condition' $where AND kind = 'event';\n",
		"UPDATE leadscore.lead_rule SET events_from = '" . instant($w->{base} + 3 * $day)
			. "' $where AND kind <> 'profile' AND events_before IS NULL;\n",
		<<"SQL",
UPDATE leadscore.lead_rule
   SET decay_interval = '7 days' $where AND decay = 'half_life' AND time_frame IS NULL AND max_per_period IS NULL;
SQL
		"UPDATE leadscore.lead_rule SET idle = '2 days' $where AND kind = 'absence';\n",
		"UPDATE leadscore.lead_rule SET category = '" . pick(@{ $w->{categories} }) . "' $where;\n",
		"DELETE FROM leadscore.lead_rule $where;\n");
}

sub set_limits
{
	my ($w) = @_;
	my $sql = '';
	for my $category (@{ $w->{categories} })
	{
		$sql .= sprintf(<<'SQL',
UPDATE leadscore.lead_category SET weight = %s, min_points = %s, max_points = %s
 WHERE model = '%s' AND category = '%s';
SQL
			pick(1, 1, 0.5, 2, 0.1), chance(0.3) ? pick(-20, 0) : 'NULL', chance(0.3) ? pick(20, 60, 100) : 'NULL',
			$w->{model}, $category);
	}
	$sql .= sprintf(<<'SQL',
UPDATE leadscore.lead_model SET min_score = %s, max_score = %s WHERE model = '%s';
SQL
		chance(0.3) ? pick(-50, 0) : 'NULL', chance(0.3) ? pick(50, 100) : 'NULL', $w->{model});
	return $sql;
}

sub insert_grades
{
	my ($w) = @_;
	my $sql = '';
	for my $category (@{ $w->{categories} })
	{
		next if chance(0.3);
		my @letters = pick([ 'A', 'B', 'C' ], [ '1', '2', '3', '4' ]);
		my $bound = pick(-5, 0, 0.5);
		for my $letter (reverse @{ $letters[0] })
		{
			$sql .= <<"SQL";
INSERT INTO leadscore.lead_grade (model, category, grade, min_points)
VALUES ('$w->{model}', '$category', '$letter', $bound);
SQL
			$bound += pick(5, 10, 12.5, 25);
		}
	}
	return $sql;
}

################################################################################
# Writes

sub insert_chunk
{
	my ($w, $t, $rows) = @_;
	my $key = $t->{key};
	my %to = %$t;
	$to{into} = "$t->{name}_old" if $t->{kind} eq 'inherited' && chance(0.4);
	if (!$skip{leaf} && ($t->{partition_by} // '') eq 'time' && chance(0.15))
	{
		# straight into a leaf: what only the default partition can hold
		my @homeless = grep { !defined $_->[2] || $_->[2] =~ /^1/ || $_->[2] =~ /infinity/ } @$rows;
		if (@homeless)
		{
			my %seen = map { $_->[0] => 1 } @homeless;
			$rows = [ grep { !$seen{ $_->[0] } } @$rows ];
			my $sql = insert_values({ %$t, into => "$t->{name}_rest" }, \@homeless);
			return $sql unless @$rows;
			return $sql . insert_values($t, $rows);
		}
	}

	my $excluded = join(', ', map { name($_) . ' = excluded.' . name($_) } @{ $t->{columns} }[ 1 .. 5 ]);
	return pick_of(
		10 => sub { join '', map { insert_values(\%to, [$_]) } @$rows },
		25 => sub { insert_values(\%to, $rows) },
		15 => sub { insert_select(\%to, $rows) },
		25 => sub { copy_in(\%to, $rows) },
		10 => sub {
			insert_values(\%to, [ @$rows, $key ? $rows->[0] : () ], "\nON CONFLICT DO NOTHING")
			  . ($key ? insert_values(\%to, [ $rows->[-1] ], ' ON CONFLICT (id) DO NOTHING') : '');
		},
		$key ? (6 => sub {
			my @again = map { my @r = @$_; $r[2] = time_value($w, $w->{base}, $t->{types}[2]); $r[4] = between(0, 9); \@r }
				grep { chance(0.3) } @$rows;
			my @fresh = map { event_row($w, $t, $w->{base}) } 1 .. 2;
			insert_values(\%to, $rows) . insert_values(\%to, [ @again, @fresh ], "\nON CONFLICT (id) DO UPDATE SET $excluded");
		}) : (),
		$key && !$skip{merge} ? (4 => sub {
			my $half = int(@$rows / 2);
			my $columns = column_list($t);
			insert_values(\%to, [ @$rows[ 0 .. $half ] ])
			  . "MERGE INTO $t->{name} AS t USING (VALUES " . join(",\n\t", map { typed_row($t, $_) } @$rows)
			  	. ") v ($columns) ON t.id = v.id\n"
			  . "WHEN MATCHED AND v.id % 3 = 0 THEN DELETE\nWHEN MATCHED THEN UPDATE SET dwell = v.dwell + 1\n"
			  . "WHEN NOT MATCHED THEN INSERT ($columns) VALUES ("
			  	. join(', ', map { 'v.' . name($_) } @{ $t->{columns} }) . ");\n";
		}) : (),
		5 => sub {
			my $half = int(@$rows / 2);
			"WITH first AS (" . (insert_values(\%to, [ @$rows[ 0 .. $half ] ], "\nRETURNING 1") =~ s/;\n$//r) . ")\n"
			  . (insert_select(\%to,
			  	[ @$rows[ $half + 1 .. $#$rows ] ]) =~ s/;\n$/, (SELECT count(*) FROM first) AS c;\n/r =~ s/SELECT \* FROM/SELECT v.* FROM/r);
		})->() if @$rows > 3;
	return insert_values(\%to, $rows);
}

# Inserts, some of them in transactions whose savepoints or whole are rolled back.
sub insert_events
{
	my ($w, $t, $count, $since) = @_;
	my $sql = '';
	while ($count > 0)
	{
		my $n = between(1, chance(0.3) ? 60 : 15);
		$n = $count if $n > $count;
		$count -= $n;
		my $chunk = sub { insert_chunk($w, $t, [ map { event_row($w, $t, $since) } 1 .. $_[0] ]) };
		$sql .= pick_of(
			60 => sub { $chunk->($n) },
			15 => sub { "BEGIN;\n" . $chunk->($n) . "SAVEPOINT s;\n" . $chunk->(between(1, 8)) . "ROLLBACK TO s;\n"
				. $chunk->(3) . "COMMIT;\n" },
			8 => sub { "BEGIN;\n" . $chunk->($n) . "SAVEPOINT s;\n" . $chunk->(3) . "SAVEPOINT u;\n" . $chunk->(4)
				. "ROLLBACK TO u;\n"
				  . change_events($w, $t) . "RELEASE s;\n" . "COMMIT;\n" },
			8 => sub { "BEGIN;\n" . $chunk->(between(2, 9)) . change_events($w, $t) . "ROLLBACK;\n" . $chunk->($n) },
			$skip{levels}
				? () : (8 => sub { 'BEGIN ISOLATION LEVEL ' . pick('REPEATABLE READ', 'SERIALIZABLE') . ";\n" . $chunk->($n)
				  . (chance(0.4) ? change_events($w, $t) . $chunk->(2) : '') . "COMMIT;\n" }),
			$skip{levels} ? () : (4 => sub { "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" . $chunk->($n)
				. "SAVEPOINT s;\n" . $chunk->(4) . change_events($w, $t)
				  . "ROLLBACK TO s;\n" . $chunk->(3) . "COMMIT;\n" }))->();
	}
	return $sql;
}

sub change_events
{
	my ($w, $t) = @_;
	my ($modulus, $rest) = (between(11, 29), between(0, 10));
	my $some = "WHERE id % $modulus = $rest";
	my ($time, $who) = (name($t->{time}), name($t->{who}));
	my $other = quoted(pick(@{ $w->{keys} }, @{ $w->{ghosts} }));
	my @choices = (
		"DELETE FROM $t->{name} $some;\n", "DELETE FROM $t->{name} $some;\n",
		"DELETE FROM $t->{name} WHERE amount > 1000;\n",
		"DELETE FROM $t->{name} WHERE $who = $other AND id % 2 = 0;\n",
		"UPDATE $t->{name} SET dwell = dwell + 1 $some;\n",
		"UPDATE $t->{name} SET what = 'open', amount = NULL $some;\n",
		"UPDATE $t->{name} SET $time = $time + interval '1 day 1 hour' $some;\n",
		"UPDATE $t->{name} SET $time = NULL WHERE id % $modulus = $rest AND id % 2 = 0;\n",
		"UPDATE $t->{name} SET $who = $other WHERE id % 97 < 3;\n",
		"UPDATE $t->{name} SET url = url;\n",
		# few rows of a contact, so that most can be subtracted
		("DELETE FROM $t->{name} WHERE id % 67 = " . between(0, 66) . ";\n") x 4,
		("UPDATE $t->{name} SET dwell = dwell + 1 WHERE id % 67 = " . between(0, 66) . ";\n") x 2,
		"UPDATE $t->{name} SET $time = $time + interval '10 minutes' WHERE id % 67 = " . between(0, 66) . ";\n");
	push @choices, "TRUNCATE $t->{name};\n" if !$skip{truncate} && chance(0.5);
	push @choices, "UPDATE $t->{name} SET cookie = " . quoted(pick(@{ $w->{visitors} })) . " $some;\n"
		if $t->{sources}[0]{visitor};
	push @choices, ("UPDATE $t->{name} SET opened = $time WHERE opened IS NULL AND id % 5 = " . between(0, 4) . ";\n") x 6
	  if $t->{kind} eq 'two sources';
	return pick(@choices);
}

sub change_contacts
{
	my ($w) = @_;
	my @missing = grep { !$w->{rows}{$_} } @{ $w->{keys} };
	my $sql = '';
	if (@missing && chance(0.8))
	{
		my @new = (shuffled(@missing))[ 0 .. ($#missing > 3 ? 3 : $#missing) ];
		$sql .= insert_values($w->{contacts}, [ map { contact_row($w, $_) } @new ]);
	}
	for (1 .. between(1, 3))
	{
		my $key = pick(@{ $w->{keys} });
		my $where = 'WHERE id = ' . quoted($key);
		$sql .= pick(
			"UPDATE contacts SET employees = " . pick('NULL', 0, 77) . " $where;\n",
			"UPDATE contacts SET country = 'DE', subscribed = NOT subscribed WHERE employees < " . between(0, 300) . ";\n",
			"UPDATE contacts SET since = " . pick('NULL', "since - interval '3 days'", "'infinity'") . " $where;\n",
			"UPDATE contacts SET revenue = revenue + 500;\n");
	}
	if (chance(0.4))
	{
		my $key = pick(@{ $w->{keys} });
		delete $w->{rows}{$key};
		$sql .= 'DELETE FROM contacts WHERE id = ' . quoted($key) . ";\n";
	}
	if (chance(0.2) && !$skip{key})
	{
		my ($key, $ghost) = (pick(sort keys %{ $w->{rows} }), pick(@{ $w->{ghosts} }));
		if (defined $key && !$w->{rows}{$ghost})
		{
			delete $w->{rows}{$key};
			$w->{rows}{$ghost} = 1;
			$sql .= 'UPDATE contacts SET id = ' . quoted($ghost) . ' WHERE id = ' . quoted($key) . ";\n";
		}
	}
	return $sql;
}

# A leaf that brings rows with it.
sub attach_leaf
{
	my ($w, $t) = @_;
	my @rows = map { my $r = event_row($w, $t, $w->{base}); $r->[2] = sprintf('2003-%02d-%02d', between(1, 12),
		between(1, 28)); $r } 1 .. 20;
	return "CREATE TABLE $t->{name}_2003 (LIKE $t->{name});\n" . insert_values({ %$t, into => "$t->{name}_2003" }, \@rows)
	  . "ALTER TABLE $t->{name} ATTACH PARTITION $t->{name}_2003 FOR VALUES FROM ('2002-12-25') TO ('2004-01-05');\n";
}

sub attach
{
	my ($w, $s) = @_;
	$s->{attached} = 1;
	return sprintf(<<'SQL',
SELECT leadscore.attach('%s', '%s', contact => '%s', occurred_at => '%s'%s%s%s%s%s%s);
SQL
		$w->{model}, $s->{table}{name}, $s->{table}{who}, $s->{time},
		defined $s->{event} ? ", event => '$s->{event}'" : '',
		$s->{name} ne $s->{table}{name} ? ", source => '$s->{name}'" : '',
		defined $s->{zone} ? ", time_zone => '$s->{zone}'" : '',
		defined $s->{visitor} ? ", visitor => '$s->{visitor}'" : '',
		defined $s->{mode} ? ", mode => '$s->{mode}'" : '',
		defined $s->{on_delete} ? ", on_delete => '$s->{on_delete}'" : '');
}

# A source that is gone for a while: its events leave the scores and come back.
sub detach_for_a_while
{
	my ($w) = @_;
	my $s = pick(grep { $_->{attached} } @{ $w->{sources} });
	my $t = $s->{table};
	$s->{mode} = $s->{mode} ? undef : 'queued' if !$skip{queued} && chance(0.3);
	return "SELECT leadscore.detach('$w->{model}', '$s->{name}');\n"
	  . (chance(0.5) ? insert_events($w, $t, between(1, 20), $w->{base}) : '')
	  	. (chance(0.5) ? change_events($w, $t) : '') . attach($w, $s);
}

# Visitors are identified, contacts merged and parted again; the oracle is told.
sub change_identities
{
	my ($w) = @_;
	my $sql = '';
	for (1 .. between(1, 3))
	{
		my ($target, $source) = (shuffled(grep { !$w->{merged}{$_} } sort keys %{ $w->{rows} }))[ 0, 1 ];
		my @parted = sort keys %{ $w->{merged} };
		if (chance(0.4) && @{ $w->{visitors_left} //= [ @{ $w->{visitors} } ] }
			&& grep({ $_->{table}{sources}[0]{visitor} && $_->{attached} } @{ $w->{sources} }))
		{
			my $visitor = shift @{ $w->{visitors_left} };
			my $contact = $target // pick(@{ $w->{keys} });
			$sql .= sprintf(<<'SQL',
SELECT leadscore.identify('%s', %s, %s);
INSERT INTO oracle.edge VALUES ('%s', 'visitor', %s, %s);
SQL
				$w->{model}, quoted($visitor), quoted($contact), $w->{model}, quoted($visitor), quoted($contact));
		}
		elsif (@parted && chance(0.4))
		{
			my $contact = pick(@parted);
			delete $w->{merged}{$contact};
			$sql .= sprintf(<<'SQL',
SELECT leadscore.unmerge('%s', %s);
DELETE FROM oracle.edge WHERE model = '%s' AND kind = 'contact' AND key = %s;
SQL
				$w->{model}, quoted($contact), $w->{model}, quoted($contact));
		}
		elsif (defined $source)
		{
			$w->{merged}{$source} = $target;
			$sql .= sprintf(<<'SQL',
SELECT leadscore.merge_contacts('%s', %s, %s);
INSERT INTO oracle.edge VALUES ('%s', 'contact', %s, %s);
SQL
				$w->{model}, quoted($target), quoted($source), $w->{model}, quoted($source), quoted($target));
		}
	}
	return $sql;
}

# Events that go because they are old, and stay in the scores.  The oracle is given
# them; what reads events (replay, and scores of the past) knows them no more.
sub purge
{
	my ($w, $t) = @_;
	my $purged = "oracle.purged_$t->{name}";
	my $where = "WHERE id % " . between(3, 9) . " = 0";
	$w->{purged} = 1;
	return <<"SQL";
CREATE TABLE IF NOT EXISTS $purged (LIKE $t->{name});
BEGIN;
SET LOCAL leadscore.on_delete = 'keep';
INSERT INTO $purged SELECT * FROM $t->{name} $where;
DELETE FROM $t->{name} $where;
COMMIT;
SQL
}

################################################################################
# Running

# Which rules a contact's difference comes from.
sub show_rules
{
	my ($w, $contact, $at) = @_;
	my $pair = 'ARRAY[' . quoted($contact) . '], ARRAY[' . quoted($at) . '::timestamptz]';
	my $out = run($w, 'rules that differ', <<"SQL");
SELECT what, contact, t, rule_id, engine, oracle, bound, definition
	FROM oracle.explain_differences('$w->{model}', $pair);
SQL
	diag("rules of contact $contact at $at that differ (what|contact|t|rule|engine|oracle|bound|definition):\n"
		. ($out || 'none'));
	return if $out;
	diag(run($w, 'all rules', <<"SQL"));
SELECT o.rule_id, o.matched, o.in_force, o.points, jsonb_strip_nulls(to_jsonb(r) - '{model,backfilled_version}'::text[])
	FROM oracle.rules('$w->{model}', $pair) o JOIN leadscore.lead_rule r USING (rule_id)
	 WHERE o.matched > 0 OR o.points <> 0;
SQL
}

my $columns = "what, 'contact ' || contact, t AT TIME ZONE 'UTC' || '+00', concat('engine ', engine), concat('oracle ', oracle), bound";

sub compare
{
	my ($w, $when, $count) = @_;
	my $model = $w->{model};

	# instants: before all, in between, at an event and just before it, a round time after an event, midnight, years later
	my $event = read_instant_of_event($w);
	my $midnight = run($w, 'midnight', <<"SQL");
SELECT (date_trunc('day', leadscore.clock() AT TIME ZONE '$w->{zone}') + interval '1 day')
	AT TIME ZONE '$w->{zone}' AT TIME ZONE 'UTC' || '+00';
SQL
	my @instants = map { instant($_) } (
		$event, $w->{clock}, $w->{clock} + between(3, 9) * 365 * $day + between(0, 86399) * $second,
		$event + pick(1, 7, 10, 30, 60) * $day - pick(0, 1), $w->{base} + int(rand($w->{clock} - $w->{base})),
		$w->{base} - 60 * $day,
		$event - 1, read_instant($midnight) - pick(0, 1));
	@instants = @instants[ 0 .. $count - 1 ];
	my $list = 'ARRAY[' . join(', ', map { quoted($_) } @instants) . ']::timestamptz[]';

	my $out;
	if (!$w->{purged})
	{
		$out = is_empty($w, <<"SQL", "$when: score and replay");
SELECT $columns FROM oracle.differences('$model', $list) ORDER BY t, contact, what;
SQL
		show_rules($w, $1, $2) if $out =~ /^[^|]*\|contact ([^|]*)\|([^|]*)\|/;
	}

	$out = is_empty($w, "SELECT $columns FROM oracle.live_differences('$model');\n", "$when: live rows");
	show_rules($w, $1, $2) if $out =~ /^[^|]*\|contact ([^|]*)\|([^|]*)\|/;

	$out = is_empty($w, <<"SQL", "$when: stored rows before a refresh");
SELECT $columns FROM oracle.stored_differences('$model', current_only => true);
SQL
	show_rules($w, $1, $2) if $out =~ /^[^|]*\|contact ([^|]*)\|([^|]+)\|/;

	# the highest are known, in the half of the seeds from half-way on
	is_empty($w, <<"SQL", "$when: the highest scores have their top_score");
SELECT contact_id, score, top_score FROM leadscore.score_$model, leadscore_internal.top_scores
 WHERE model = '$model' AND score >= complete_from AND (top_score >= score) IS NOT TRUE;
SELECT contact_id, scored_at FROM leadscore.score_$model, leadscore_internal.top_scores
 WHERE model = '$model' AND complete_from < 'infinity' AND scored_at > now() AND top_score < 'infinity';
SQL
	run($w, 'top_scores', "SELECT leadscore_internal.keep_top_scores('$model', " . between(1, 6) . ");\n") if chance(0.5);

	is_empty($w, <<"SQL", "$when: verify before a refresh");
SELECT * FROM leadscore.verify('$model') WHERE status = 'wrong';
SQL
	explained($w, $list, "$when: explain before a refresh", 10) if !$w->{purged};

	if (!$skip{rules} && !$w->{purged})
	{
		is_empty($w, "BEGIN;\n" . change_rule($w) . change_rule($w)
			. "SELECT $columns FROM oracle.differences('$model', ARRAY[leadscore.clock()]) WHERE what = 'score';\n"
			. "SELECT $columns FROM oracle.live_differences('$model');\nROLLBACK;\n",
			"$when: score and live rows while rules are tried out");
	}

	fold_beside($w) if chance(0.3);
	run($w, 'refresh', "SELECT leadscore.refresh('$model');\n");
	is_empty($w, "SELECT * FROM leadscore.verify('$model')" . ($w->{purged} ? " WHERE status = 'wrong'" : '') . ";\n",
		"$when: verify");
	is_empty($w, "SELECT $columns FROM oracle.stored_differences('$model');\n", "$when: stored rows");
	is_empty($w, "SELECT * FROM oracle.pending_contacts('$model');\n", "$when: nothing is left pending");
	explained($w, $list, "$when: explain", 30) if !$w->{purged};
	return $list;
}

sub explained
{
	my ($w, $list, $what, $pairs) = @_;
	is_empty($w, <<"SQL", $what);
SELECT d.* FROM (SELECT array_agg(contact) AS contacts, array_agg(t) AS instants
		FROM (SELECT k.contact, i.t
			  FROM oracle.known_contacts('$w->{model}') k, unnest($list) AS i (t) ORDER BY md5(k.contact || i.t)
			LIMIT $pairs) AS s) AS p,
	oracle.explain_differences('$w->{model}', p.contacts, p.instants) d;
SQL
}

# Half of what is pending is folded in by a transaction that is rolled back.
sub fold_beside
{
	my ($w) = @_;
	run($w, 'a fold rolled back', <<"SQL", pick(undef, 'repeatable read'));
BEGIN;
SELECT leadscore.refresh('$w->{model}');
ROLLBACK;
SQL
}

# What time alone did: after a refresh every row is as true as it has to be.
sub time_passes
{
	my ($w, $when, $by) = @_;

	$w->{clock} += $by;
	run($w, 'refresh', "SELECT leadscore.refresh('$w->{model}');\n");
	is_empty($w, <<"SQL", "$when: rows after time has passed");
SELECT $columns FROM oracle.drift_differences('$w->{model}');
SQL
}

# The instant of some event of the last weeks.
sub read_instant_of_event
{
	my ($w) = @_;
	my $at = run($w, 'an event', "SELECT occurred_at AT TIME ZONE 'UTC' || '+00' FROM oracle.rows_of_every_source('$w->{model}')
		WHERE occurred_at BETWEEN '" . instant($w->{base})
			. "' AND leadscore.clock() ORDER BY md5(occurred_at::text || contact || '$w->{seed}') LIMIT 1;\n");
	return $at ? read_instant($at) : $w->{base};
}

# top_is_right: top() has what live rows have, in one statement under the clock that runs
sub top_is_right
{
	my ($w, $what, $sql) = @_;
	my $model = $w->{model};
	is_empty($w, <<"SQL", "by the clock that runs: $what");
RESET leadscore.clock;
\\o /dev/null
@{[ $sql // '' ]}
\\o
WITH best AS (SELECT k, t.* FROM unnest(ARRAY[1, 2, 3, 5, 8, 10000]) k CROSS JOIN LATERAL leadscore.top('$model', k)
		WITH ORDINALITY t (contact, score, grade, stage, place)),
	wanted AS (SELECT k, l.* FROM unnest(ARRAY[1, 2, 3, 5, 8, 10000]) k CROSS JOIN LATERAL (SELECT contact_id::text, score, grade, stage,
		row_number() OVER (ORDER BY score DESC, contact_id) AS place FROM leadscore.live_$model WHERE NOT disqualified) l
		WHERE l.place <= k)
(TABLE best EXCEPT TABLE wanted) UNION ALL (TABLE wanted EXCEPT TABLE best);
SQL
}

sub highest
{
	my ($w) = @_;
	my $keep = sub { "SELECT leadscore_internal.keep_top_scores('$w->{model}', " . between(1, 6) . ");" };
	top_is_right($w, 'what is due');
	top_is_right($w, 'refreshed', "SELECT leadscore.refresh('$w->{model}');");
	top_is_right($w, 'with the highest known', $keep->());
	for my $t (@{ $w->{tables} })
	{
		my $some = 'random() < ' . pick(0.1, 0.5);
		top_is_right($w, "fewer of $t->{name}", (chance(0.5) ? "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" : '')
			. "DELETE FROM $t->{name} WHERE $some;\nCOMMIT;");
		top_is_right($w, 'others are the highest', $keep->()) if chance(0.5);
	}
	top_is_right($w, 'in the end', "SELECT leadscore.refresh('$w->{model}');\n" . $keep->());
}

################################################################################
# Events that go one by one, of a model without visitors and queued sources, so that
# they are subtracted: each state is what a recount gives, and agrees with the oracle.

# An event of one of a few contacts, mostly not of the future, with a weight that is mostly positive.
sub going_row
{
	my ($v, $t, $key) = @_;
	my $row = event_row($v, $t, $v->{base});
	for my $at (grep { $_ } 2, $t->{opened})
	{
		my $when = chance(0.1) ? pick(@{ $v->{instants} }) : $v->{base} + int(rand($v->{clock} - $v->{base}));
		$when = $v->{clock} + $day if chance(0.01);
		$when = wall_clock($when < $v->{clock} + 2 * $day ? $when : $v->{clock});
		$row->[$at] = $t->{types}[$at] eq 'timestamptz' ? "$when+00" : $t->{types}[$at] eq 'date' ? substr($when, 0, 10) : $when
			if defined $row->[$at];
	}
	$row->[1] = $key;
	$row->[3] = pick('open', 'open', 'click', 'form');
	$row->[5] = between(chance(0.1) ? -40 : 1, 400) / 4;
	return $row;
}

# The latest, the earliest or any event of some contacts.
sub going_events
{
	my ($t, $which, @keys) = @_;
	my ($who, $time) = (name($t->{who}), name($t->{time}));
	my $order = $which eq 'latest' ? "$time DESC NULLS LAST, id" : $which eq 'earliest' ? "$time NULLS LAST, id"
	  : "md5(id || '" . rand() . "')";
	return "WHERE id IN (SELECT DISTINCT ON ($who) id FROM $t->{name} WHERE $who IN (" . join(', ', map { quoted($_) } @keys)
	  . ") ORDER BY $who, $order);\n";
}

sub go
{
	my ($v, $t, @keys) = @_;
	my $time = name($t->{time});
	my $of = sub { going_events($t, pick('latest', 'latest', 'earliest', 'any', 'any'), @keys) };
	return pick_of(
		50 => sub { "DELETE FROM $t->{name} " . $of->() },
		10 => sub { "UPDATE $t->{name} SET dwell = coalesce(dwell, 0) + 1, amount = amount + 2.5 " . $of->() },
		10 => sub { "UPDATE $t->{name} SET $time = $time + interval '" . pick('-1 day', '2 days', '-10 days', '30 minutes') . "' " . $of->() },
		5 => sub { "UPDATE $t->{name} SET what = 'click' " . $of->() },
		5 => sub { "UPDATE $t->{name} SET " . name($t->{who}) . ' = ' . quoted($keys[0]) . ' ' . $of->() },
		10 => sub { insert_values($t, [ map { going_row($v, $t, $_) } @keys ]) },
		# it is pending still
		10 => sub {
			my @rows = map { going_row($v, $t, $_) } @keys;
			"BEGIN ISOLATION LEVEL REPEATABLE READ;\n" . insert_values($t, \@rows) . "COMMIT;\nDELETE FROM $t->{name} WHERE id IN ("
			  . join(', ', map { $_->[0] } @rows) . ");\n";
		})->();
}

# All contacts are recounted, in a transaction that is rolled back: what is pending of them makes that sure.
sub recounted
{
	my ($v) = @_;
	my $sql = "BEGIN ISOLATION LEVEL REPEATABLE READ;\nCREATE TEMP TABLE before AS SELECT contact_id,"
	  . " leadscore.state_text(state) AS state FROM leadscore.score_$v->{model};\n";
	$sql .= <<"SQL" for @{ $v->{tables} };
CREATE TEMP TABLE old_$_->{name} AS SELECT id, dwell FROM $_->{name};
UPDATE $_->{name} SET dwell = coalesce(dwell, 0) + 7;
UPDATE $_->{name} t SET dwell = o.dwell FROM old_$_->{name} o WHERE o.id = t.id;
SQL
	return $sql . <<"SQL";
\\o /dev/null
SELECT leadscore.refresh('$v->{model}');
\\o
SELECT contact_id, b.state AS subtracted, leadscore.state_text(s.state) AS recounted
	FROM before b FULL JOIN leadscore.score_$v->{model} s USING (contact_id)
	WHERE oracle.states_differ(b.state, leadscore.state_text(s.state));
ROLLBACK;
SQL
}

sub going_rules
{
	my ($v) = @_;
	my @rules = (
		{ award => 'each' }, { award => 'each', weight => 'amount', event => 'open' }, { award => 'once', at_least => 2 },
		{ award => 'each', decay => 'half_life', decay_interval => '7 days', weight => 'amount' },
		{ award => 'each', decay => 'half_life', decay_interval => '30 hours', event => 'click' },
		{ award => 'each', time_frame => '14 days', period => '1 day', max_per_period => 12 },
		{ award => 'each', time_frame => '90 days', period => '7 days', weight => 'amount' }, { award => 'once', time_frame => '1 mon', period => '7 days' },
		{ award => 'each', decay => 'linear', decay_interval => '10 days', weight => 'dwell' },
		{ kind => 'absence', idle => '1 day', award => 'each', event => 'open' });
	my $sql = '';
	for my $r (@rules)
	{
		my $source = pick(@{ $v->{sources} });
		delete $r->{event} unless $source->{event};
		$r->{source} = $source->{name} if @{ $v->{sources} } > 1;
		$r = { model => $v->{model}, name => sprintf('rule %02d', ++$v->{rules}), points => 1, %$r };
		$sql .= insert_row('leadscore.lead_rule', $r);
	}
	return $sql . join('', map { insert_rule($v) } 1 .. between(0, 4));
}

sub events_go
{
	my ($w) = @_;
	my %v = (%$w, model => 'less', rules => 0, identity => 0, merged => {}, purged => 0);
	my $v = \%v;
	my @keys = (shuffled(@{ $w->{keys} }))[ 0 .. 9 ];

	$v->{tables} = [ make_table($v, 'going', chance(0.2) ? 'two sources' : 'plain') ];
	my $t = $v->{tables}[0];
	$v->{sources} = $t->{sources};
	@$_{qw(mode late)} = () for @{ $v->{sources} };
	run($v, 'going: model', 'CREATE TABLE going (' . definition($t, 'id') . ");\nALTER TABLE going DROP COLUMN gone;\n"
	  . (chance(0.97) ? 'CREATE INDEX ON going (' . name($t->{who}) . ', ' . name($t->{time}) . ");\n" : '')
	  . "SELECT leadscore.create_model('less', 'contacts', categories => '{" . join(',', @{ $w->{categories} })
	  . "}', time_zone => '$w->{zone}');\n" . join('', map { attach($v, $_) } @{ $v->{sources} }) . going_rules($v)
	  . ($t->{opened} && chance(0.5) ? "CREATE INDEX ON going (" . name($t->{who}) . ", opened);\n" : ''));
	# the first few have one or two events
	run($v, 'going: events', insert_values($t, [ map { going_row($v, $t, $keys[$_]) } map { ($_) x (1 + $_ % 5 * 2) } 0 .. 9 ]));
	for my $step (1 .. 16)
	{
		$v->{clock} += between(1, 30) * $hour if chance(0.2);
		my @some = (shuffled(@keys))[ 0 .. between(0, 4) ];
		run($v, 'going: refresh', "SELECT leadscore.refresh('less');\n");
		is_empty($v, go($v, $t, @some) . "SELECT * FROM leadscore.verify('less') WHERE status = 'wrong';\n"
			. "\\o /dev/null\nSELECT leadscore.refresh('less');\n\\o\n"
			. "SELECT * FROM leadscore.verify('less');\nSELECT $columns FROM oracle.stored_differences('less');\n" . recounted($v),
			"events go, step $step");
	}
	is_empty($v, "SELECT $columns FROM oracle.differences('less', ARRAY[leadscore.clock(), leadscore.clock() + interval '9 days']);\n",
		'events went: score and replay');
	$w->{next_id} = $v->{next_id};
}

sub run_seed
{
	my ($seed) = @_;
	srand(($seed * 2654435761) % 4294967296);	# neighbours are far apart
	$node->safe_psql('postgres', "CREATE DATABASE seed_$seed");
	$node->safe_psql("seed_$seed", 'CREATE EXTENSION leadscore');
	find_features("seed_$seed");
	my $w = new_world($seed);
	my $model = $w->{model};
	$w->{errors} = [];
	$w->{session_zone} = 'Asia/Tokyo';
	note("seed $seed: key $w->{key_type}, zone $w->{zone}, writers at " . ($w->{level} // 'read committed')
	  . ', tables ' . join(', ', map { "$_->{name} ($_->{kind}, $_->{types}[2])" } @{ $w->{tables} })
	  . ', queued: ' . (join(', ', map { $_->{name} } grep { $_->{mode} } @{ $w->{sources} }) || 'none'));

	run($w, 'extension', <<"SQL");
CREATE EXTENSION IF NOT EXISTS leadscore;
\\i $top/oracle.sql
\\i $top/oracle_compare.sql
SQL
	run($w, 'tables', create_tables($w));
	my @early = grep { chance(0.6) } @{ $w->{keys} };
	run($w, 'contacts', insert_values($w->{contacts}, [ map { contact_row($w, $_) } @early ])) if @early;

	# some events are there before the model
	my $before = $w->{base};
	run($w, 'events before the model', insert_events($w, $_, between(20, 80), $before)) for grep { chance(0.5) }
		@{ $w->{tables} };

	run($w, 'model', sprintf(<<'SQL',
SELECT leadscore.create_model('%s', 'contacts', categories => '{%s}'%s, time_zone => '%s');
SQL
		$model, join(',', @{ $w->{categories} }), defined $w->{created_at} ? ", created_at => 'since'" : '', $w->{zone})
	  . set_limits($w) . insert_grades($w));

	if (@{ $w->{errors} })
	{
		fail("seed $seed: a model can be made");
		return;
	}

	if ($skip{rest})
	{
		events_go($w);
		return;
	}

	# a first source, so that there can be rules
	$w->{sources}[0]{late} = 0;
	run($w, 'attach', join('', map { attach($w, $_) } grep { !$_->{late} } @{ $w->{sources} }));
	run($w, 'rules before events', join('', map { insert_rule($w) } 1 .. between(7, 12)));

	my $total = 1300;
	for my $batch (1 .. 5)
	{
		my $since = $w->{clock};
		$w->{clock} += between(1, 11) * $day + between(0, 86399) * $second + pick(0, 0, 123456);
		# sometimes on the hour, where buckets begin
		$w->{clock} = floor($w->{clock} / $hour) * $hour if chance(0.2);
		time_passes($w, "batch $batch", 0) if $batch > 1 && chance(0.6);
		for my $t (@{ $w->{tables} })
		{
			run($w, "batch $batch, $t->{name}", insert_events($w, $t, int($total / 5 / @{ $w->{tables} }), $since)
			  . ($batch > 1 ? change_events($w, $t) . change_events($w, $t) : ''), chance(0.7) ? $w->{level} : undef);
		}
		run($w, "batch $batch, contacts", change_contacts($w), chance(0.7) ? $w->{level} : undef);
		run($w, "batch $batch, identities", change_identities($w)) if $w->{identity} && $batch > 1;
		run($w, "batch $batch, refresh", "SELECT leadscore.refresh('$model');\n", pick(undef, undef, 'repeatable read'))
			if chance(0.3);
		if ($batch == 2)
		{
			run($w, 'late attach', join('', map { attach($w, $_) } grep { $_->{late} } @{ $w->{sources} }));
			run($w, 'rules after events', join('', map { insert_rule($w) } 1 .. between(7, 12)));
		}
		if ($batch == 4 && !$skip{rules})
		{
			run($w, 'changed rules', join('', map { change_rule($w) } 1 .. 5) . (chance(0.5) ? set_limits($w) : ''));
		}
		elsif ($batch > 1 && !$skip{rules} && chance(0.4))
		{
			run($w, 'rules in between', change_rule($w) . change_rule($w), chance(0.3) ? $w->{level} : undef);
		}
		run($w, 'detach and attach', detach_for_a_while($w)) if $batch > 2 && !$skip{detach} && chance(0.35);
		if ($batch == 4 && !$skip{leaf})
		{
			run($w, 'a new leaf', attach_leaf($w, $_))
				for grep { ($_->{partition_by} // '') eq 'time' && chance(0.6) } @{ $w->{tables} };
		}
		compare($w, 'half-way', 3) if $batch == 3;
	}
	if ($can{purge} && chance(0.4))
	{
		run($w, 'refresh', "SELECT leadscore.refresh('$model');\n");
		run($w, 'purge', join('', map { purge($w, $_) } @{ $w->{tables} }));
	}
	time_passes($w, "step $_", pick(1, $second, $hour, between(1, 40) * $hour, between(1, 30) * $day, between(1, 400) * $day))
		for 1 .. 6;
	$w->{clock} += pick(0, 1, 3 * $hour, 2 * $day);
	my $list = compare($w, 'in the end', 8);
	note("seed $seed: rules that contribute to some score: " . run($w, 'coverage', <<"SQL"));
SELECT string_agg(format('%s of %s %s', contributing, total, kind), ', ' ORDER BY kind)
	FROM (SELECT kind, count(*) AS total, count(*) FILTER (WHERE points) AS contributing
		FROM (SELECT r.rule_id, r.kind, bool_or(o.points <> 0) AS points
			FROM (SELECT array_agg(k.contact) AS contacts, array_agg(i.t) AS instants
				  FROM oracle.known_contacts('$model') k, unnest($list) AS i (t)) AS p,
				oracle.rules('$model', p.contacts, p.instants) o JOIN leadscore.lead_rule r USING (rule_id)
			GROUP BY r.rule_id, r.kind) AS s
		GROUP BY kind) AS s;
SQL

	events_go($w) if !$skip{going};
	highest($w);
	is(scalar @{ $w->{errors} }, 0, "seed $seed: no errors");
	close($w->{trace});
	$node->safe_psql('postgres', "DROP DATABASE $w->{db}") if $ENV{LEADSCORE_LONG};
}

################################################################################

# The oracle itself, against examples worked out by hand.
$node->safe_psql('postgres', 'CREATE DATABASE oracle_check');
my $checked = $node->safe_psql('oracle_check', "\\i $top/oracle_check.sql\n", extra_params => [ '-v', "oracle=$top/oracle.sql" ]);
my @wrong = grep { !/^ok\|/ } split /\n/, $checked;
ok($checked && !@wrong, 'the oracle agrees with ' . scalar(split /\n/, $checked) . ' examples worked out by hand')
	or diag(join("\n", @wrong));

run_seeds(\&run_seed, 40, 2, 5, 43, 301);
$node->stop;
done_testing();
