# What INSERT costs in instructions: into a bare table, with a model in one of
# many cases, and with the leanest trigger in plpgsql that keeps one decayed sum.
#
# All over 20,000 contacts with a bigint key, who have had an event each.
# Before anything is counted, the session has touched the pages that it will use:
# they are in memory, have been logged since the last checkpoint, and hold a dead
# version of a row, as those of a table in use do.
package InsertCost;

use strict;
use warnings;

use Callgrind;
use Exporter 'import';
use POSIX ();

our @EXPORT = qw(insert_cost insert_cases insert_report insert_ratio);

my $contacts = 20_000;
my $due = 5_000;
my $made;
my %known;

# When the events happened that are counted: a day ago in cases of scores that change
# from then on; else so long ago that nothing is left of them but the state, and there
# are no due rows.
my %ago = (now => 1, one_rule => 1, stage => 1, midnight => 1);

# Days before that the contacts had their first event: long enough for the next one
# to move a due row far, and to change a stage.
my %first = (one_rule => 30, stage => 30);
my $started = time;

sub begin
{
	my ($setup) = @_;
	return $started - 86400 * ($ago{$setup} // 300);
}

my $tables = <<'SQL';
	CREATE TABLE contact (id bigint PRIMARY KEY);
	CREATE TABLE event (id bigint PRIMARY KEY, contact bigint, at timestamptz, what text, url text, amount float8);
	CREATE INDEX ON event (contact, at);
SQL

my $model = <<'SQL';
	CREATE EXTENSION leadscore;
	SELECT leadscore.create_model('m', 'contact');
	SELECT leadscore.attach('m', 'event', 'contact', 'at', event => 'what');
SQL

# rules gives rules that one event all brings into force, or that are spread over
# some names of events; half have a condition, all a half-life.
sub rules
{
	my ($rules, $names) = @_;
	my $what = $names ? "'e' || n % $names" : "'e1'";

	return <<"SQL";
	INSERT INTO leadscore.lead_rule (model, name, event, condition, points, decay, decay_interval)
		SELECT 'm', 'rule ' || n, $what,
			CASE WHEN n % 20 BETWEEN 1 AND 10 THEN (ARRAY['url LIKE ''/docs/%''', 'amount > ' || n % 20])[1 + n % 2] END,
			n, 'half_life', n * interval '1 day'
		  FROM generate_series(1, $rules) n;
SQL
}

# 980 more, of 299 other names
my $thousand = <<'SQL';
	INSERT INTO leadscore.lead_rule (model, name, event, condition, points, decay, decay_interval)
		SELECT 'm', 'rule ' || n, 'e' || 2 + n % 299, CASE WHEN n % 2 = 0 THEN 'amount > ' || n END, n, 'half_life', interval '1 day'
		  FROM generate_series(21, 1000) n;
SQL

# An old event has left too little to be in the stage; the next one leads there.
my $stage = <<'SQL';
	INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 150);
SQL

my $one_rule = <<'SQL';
	INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES ('m', 'one', 'e1', 10, 'half_life', '10 days');
SQL

my $score = <<'SQL';
	CREATE TABLE score (contact bigint PRIMARY KEY, score float8, at timestamptz) WITH (fillfactor = 70);
SQL

my $row_trigger = $score . <<'SQL';
	CREATE FUNCTION add() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		INSERT INTO score AS s VALUES (NEW.contact, 1, NEW.at) ON CONFLICT (contact) DO UPDATE
			SET score = s.score * exp(-0.0000001 * extract(epoch FROM excluded.at - s.at)::float8) + 1, at = excluded.at;
		RETURN NULL; END$$;
	CREATE TRIGGER add AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION add();
SQL

my $statement_trigger = $score . <<'SQL';
	CREATE FUNCTION add() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		INSERT INTO score AS s
			SELECT contact, sum(exp(0.0000001 * extract(epoch FROM at - '2026-01-01')::float8))
					* exp(-0.0000001 * extract(epoch FROM max(at) - '2026-01-01')::float8), max(at)
			  FROM added GROUP BY contact
			ON CONFLICT (contact) DO UPDATE
			SET score = s.score * exp(-0.0000001 * extract(epoch FROM excluded.at - s.at)::float8) + excluded.score, at = excluded.at;
		RETURN NULL; END$$;
	CREATE TRIGGER add AFTER INSERT ON event REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION add();
SQL

my %setup = (
	bare => '',
	plpgsql => $row_trigger,
	statement => $statement_trigger,
	rules_20 => $model . rules(20),
	queued => ($model =~ s/(event => 'what')/$1, mode => 'queued'/r) . rules(20),
	rules_100 => $model . rules(100),
	rules_1000 => $model . rules(20) . $thousand,
	spread => $model . rules(20, 4),
	one_rule => $model . $one_rule,
	now => $model . rules(20),
	midnight => $model . rules(20),
	stage => $model . rules(20) . $stage);

# How statements come: single rows for contacts far from each other, 50 for one,
# the first of a session, or many rows a statement, alike in what rules read or unlike;
# or contacts that are all due after so many days, and as many rows of a copy of their
# table.  Or queries: over all contacts, or for one.
my %shapes = (
	single => { rows => 1 },
	burst => { rows => 1 },
	first => { rows => 1, cold => 1 },
	repeated => { rows => 2000, each => 10 },
	distinct => { rows => 2000, each => 1 },
	repeated_unlike => { rows => 2000, each => 10, unlike => 1 },
	distinct_unlike => { rows => 2000, each => 1, unlike => 1 },
	due => { days => 1 },
	update => { days => 1 },
	average => { query => 'SELECT avg(score) FROM leadscore.%s_m;', of => $contacts },
	look_up => { query => 'SELECT c.id, s.score FROM contact c JOIN leadscore.%s_m s ON s.contact_id = c.id WHERE c.id = ' });

# The cases: a setup, a shape (single unless said), what it is compared with, how,
# and at most what is wanted.
my @cases = (
	[ bare => 'bare' ],
	[ plpgsql => 'plpgsql' ],
	[ rules_20 => 'rules_20', peer => 'plpgsql', most => 0.65 ],
	[ rules_20_now => 'now', peer => 'plpgsql' ],
	[ queued => 'queued', peer => 'plpgsql' ],
	[ due_moves => 'one_rule', peer => 'plpgsql', most => 0.90 ],
	[ bare_burst => 'bare', shape => 'burst' ],
	[ plpgsql_burst => 'plpgsql', shape => 'burst' ],
	[ due_burst => 'one_rule', shape => 'burst', bare => 'bare_burst', peer => 'plpgsql_burst', most => 0.70 ],
	[ stage_changes => 'stage', peer => 'plpgsql', most => 1.5 ],
	[ rules_100 => 'rules_100', peer => 'plpgsql', most => 1.6 ],
	[ rules_1000 => 'rules_1000', beside => 'rules_20', most => 1.05 ],
	[ repeated_bare => 'bare', shape => 'repeated' ],
	[ repeated_plpgsql => 'statement', shape => 'repeated', beside => 'repeated_bare' ],
	[ repeated_all => 'rules_20', shape => 'repeated', beside => 'repeated_bare', peer => 'repeated_plpgsql', most => 1.45 ],
	[ repeated_spread => 'spread', shape => 'repeated', beside => 'repeated_bare', peer => 'repeated_plpgsql', most => 1.35 ],
	[ distinct_bare => 'bare', shape => 'distinct' ],
	[ distinct_plpgsql => 'statement', shape => 'distinct', beside => 'distinct_bare' ],
	[ distinct_all => 'rules_20', shape => 'distinct', beside => 'distinct_bare', peer => 'distinct_plpgsql', most => 2.6 ],
	[ distinct_spread => 'spread', shape => 'distinct', beside => 'distinct_bare', peer => 'distinct_plpgsql', most => 2.6 ],
	[ repeated_unlike_bare => 'bare', shape => 'repeated_unlike' ],
	[ repeated_unlike => 'rules_20', shape => 'repeated_unlike', beside => 'repeated_unlike_bare' ],
	[ distinct_unlike_bare => 'bare', shape => 'distinct_unlike' ],
	[ distinct_unlike => 'rules_20', shape => 'distinct_unlike', beside => 'distinct_unlike_bare' ],
	[ midnight_update => 'midnight', shape => 'update' ],
	[ midnight_refresh => 'midnight', shape => 'due', beside => 'midnight_update', most => 2 ],
	[ average_stored => 'rules_20', shape => 'average', of => 'score' ],
	[ average_live => 'rules_20', shape => 'average', of => 'live', beside => 'average_stored', most => 4 ],
	[ look_up_stored => 'rules_20', shape => 'look_up', of => 'score' ],
	[ look_up_live => 'rules_20', shape => 'look_up', of => 'live', beside => 'look_up_stored', most => 1.5 ],
	[ first_bare => 'bare', shape => 'first' ],
	[ first_plpgsql => 'plpgsql', shape => 'first', beside => 'first_bare' ],
	[ first_20 => 'rules_20', shape => 'first', beside => 'first_bare' ],
	[ first_1000 => 'rules_1000', shape => 'first', beside => 'first_bare' ]);
my %cases = map { my ($name, $setup, %more) = @$_; $name => { setup => $setup, shape => 'single', %more } } @cases;

sub insert_cases { return map { $_->[0] } @cases }

sub at
{
	my ($setup, $minutes) = @_;
	return "to_timestamp(" . (begin($setup) + 60 * $minutes) . ")";
}

# prepare makes the database of a setup.
sub prepare
{
	my ($setup, $rows) = @_;

	make_cluster() unless $made->{cluster}++;
	return if $made->{$setup}++;
	# databases are made by a session of its own
	single('postgres', "CREATE DATABASE $setup;\n");
	my $first = begin($setup) - 86400 * ($first{$setup} // 0) - $contacts;
	my $n = $setup eq 'midnight' ? $due : $contacts;
	single($setup, $tables . "\tINSERT INTO contact SELECT generate_series(1, $n);\n" . $setup{$setup} . <<"SQL");
	INSERT INTO event
		SELECT -n, n, to_timestamp($first + n), 'e' || CASE '$setup' WHEN 'spread' THEN n % 4 ELSE 1 END,
			'/docs/page', 100
		  FROM generate_series(1, $n) n;
SQL
	single($setup, "SELECT leadscore.refresh('m');\n") if $setup{$setup} =~ /create_model/;
	single($setup, "VACUUM ANALYZE;\n");
}

# insert_cost gives the instructions of one INSERT, or of one row of a statement of
# many: the mean of n statements, or of as many as make out a statement of many rows.
# With a third argument it prints where they go.
sub insert_cost
{
	my ($name, $n, $annotate) = @_;
	my $case = $cases{$name} or die "no such case: $name\n";
	my $shape = $shapes{ $case->{shape} };

	return $known{$name} if $known{$name} && !$annotate;
	prepare($case->{setup});
	my $cost = $shape->{query} ? query_cost($case, $shape, $n // 50, $annotate) :
	  $shape->{days} ? due_cost($case, $shape, $annotate) :
	  $shape->{rows} > 1 ? rows_cost($case, $shape, $annotate) : row_cost($case, $shape, $n // 50, $annotate);
	return $known{$name} = $cost;
}

# ids are never used twice in a setup, whatever its cases
my %ids;

sub row
{
	my ($setup, $contact) = @_;
	my $id = ++$ids{$setup};

	# a line, as the parser's work is counted, too
	return "INSERT INTO event VALUES ($id, $contact, ${\(at($setup, $id / 10))}, 'e1', '/docs/page', 100);";
}

my %next_contact;

sub row_cost
{
	my ($case, $shape, $n, $annotate) = @_;
	my $setup = $case->{setup};
	my $burst = $case->{shape} eq 'burst';
	# each case of a setup has contacts of its own, far enough from each other for pages of their own
	my @far = map { ($next_contact{$setup} += 37) % $contacts } 0 .. ($burst ? 1 : $n);
	my @counted = $burst ? ($far[0]) x $n : @far[ 1 .. $n ];
	my @before;

	unless ($shape->{cold})
	{
		my $near = join(', ', map { $_ - 1, $_ + 1 } @far);
		my $first = 1 + ($ids{$setup} // 0);
		$ids{$setup} += 2 * @far;
		@before = ("INSERT INTO event SELECT $first - 1 + n, c, ${\(at($setup, $first / 10))}, 'e1', '/docs/page', 100"
			  . " FROM unnest(ARRAY[$near]) WITH ORDINALITY AS u (c, n);",
			# plans and caches
			map { row($setup, 1 + $_ % 5) } 1 .. 12);
	}
	@counted = @counted[ 0 .. 0 ] if $shape->{cold};
	my ($cost) = spans($setup, \@before, [ map { row($setup, $_) } @counted ]);
	print annotated(1) if $annotate;
	prove($case, \@counted);
	return $cost / @counted;
}

# prove looks whether happened what is to be counted
sub prove
{
	my ($case, $counted) = @_;
	my $list = join(', ', @$counted);

	if ($case->{setup} eq 'stage')
	{
		my $since = begin('stage');
		my ($n) = single('stage', <<"SQL") =~ /count = "(\d+)"/;
SELECT count(*) FROM leadscore.history_m WHERE contact_id IN ($list) AND changed_at >= to_timestamp($since);
SQL
		die "$n changes of stage for " . @$counted . " contacts\n" if $n != @$counted;
	}
	if ($case->{setup} eq 'one_rule' && $case->{shape} eq 'single')
	{
		my ($n) = single('one_rule', <<"SQL") =~ /count = "(\d+)"/;
SELECT count(*) FROM leadscore.due_m WHERE contact_id IN ($list) AND due_at < now() + interval '2 days';
SQL
		die "$n due rows moved of " . @$counted . "\n" if $n != @$counted;
	}
}

sub rows_cost
{
	my ($case, $shape, $annotate) = @_;
	my $setup = $case->{setup};
	my ($rows, $each) = @{$shape}{qw(rows each)};
	my $of_contacts = $rows / $each;
	my $begun = $made->{"staged $setup $case->{shape}"}++;
	my ($url, $amount) = $shape->{unlike} ? ("'/docs/page' || n", "100 + n") : ("'/docs/page'", '100');

	# contacts whose rows stand beside each other, in no order of theirs
	single($setup, <<"SQL") unless $begun;
	DROP TABLE IF EXISTS staged;
	CREATE TABLE staged AS
		SELECT n, 5001 + (n * 7919) % $of_contacts AS contact, n * interval '1 s' AS after,
			'e' || CASE '$setup' WHEN 'spread' THEN n / $of_contacts % 4 ELSE 1 END AS what
		  FROM generate_series(1, $rows) n;
	VACUUM ANALYZE staged;
SQL
	my @statements = map {
		my $first = $ids{$setup} // 0;
		$ids{$setup} += $rows;
		"INSERT INTO event SELECT $first + n, contact, ${\(at($setup, $first / 10))} + after, what, $url, $amount FROM staged;"
	} 1 .. 3;
	my @costs = spans($setup, [ shift @statements ], map { [$_] } @statements);
	print annotated(2) if $annotate;
	return ($costs[0] + $costs[1]) / 2 / $rows;
}

# due_cost gives the instructions that a due contact takes, or a row of the copy.
sub due_cost
{
	my ($case, $shape, $annotate) = @_;
	my $setup = $case->{setup};
	my $copy = $case->{shape} eq 'update';
	my @rounds = map {
		my $clock = begin($setup) + 86400 * $shape->{days} * ++$made->{"days $case->{shape}"};
		$copy ? "UPDATE score_copy SET score = score * 0.99, scored_at = scored_at + interval '1 day';"
		  : "SET leadscore.clock = '" . POSIX::strftime('%Y-%m-%d %H:%M:%S+00', gmtime($clock)) . "';\nSELECT leadscore.refresh('m');";
	} 1 .. 4;

	single($setup, <<'SQL') if $copy;
	CREATE TABLE score_copy (LIKE leadscore.score_m INCLUDING ALL) WITH (fillfactor = 70);
	INSERT INTO score_copy SELECT * FROM leadscore.score_m WHERE last_event_at IS NOT NULL;
SQL
	single($setup, "VACUUM ANALYZE;\n");
	# by the clock of the first round nothing is due yet; on the day of the second contacts came
	my @costs = spans($setup, [ $rounds[0], $rounds[1], 'VACUUM;' ], [ $rounds[2] ], ['VACUUM;'], [ $rounds[3] ]);
	print annotated(3) if $annotate;
	unless ($copy)
	{
		my ($n) = single($setup, 'SELECT count(*) FROM leadscore.score_m WHERE scored_at > '
			  . "(SELECT max(scored_at) FROM leadscore.score_m) - interval '1 s';\n") =~ /count = "(\d+)"/;
		die "$n contacts were due of $due\n" if $n != $due;
	}
	return ($costs[0] + $costs[2]) / 2 / $due;
}

# query_cost gives the instructions of a query for a contact, or of one for all by contact.
sub query_cost
{
	my ($case, $shape, $n, $annotate) = @_;
	my $query = sprintf $shape->{query}, $case->{of};
	my @queries = map { $shape->{of} ? $query : "$query$_;" } 101 .. 100 + ($shape->{of} ? 1 : $n);
	my ($cost) = spans($case->{setup}, [ $shape->{of} ? $query : map { "$query$_;" } 1 .. 12 ], \@queries);

	print annotated(1) if $annotate;
	return $cost / ($shape->{of} // @queries);
}

# insert_ratio gives what a case adds to a bare table, beside what plpgsql adds.
sub insert_ratio
{
	my ($name, $n) = @_;
	my $case = $cases{$name};
	my $bare = insert_cost($case->{beside} // $case->{bare} // 'bare', $n);

	return (insert_cost($name, $n) - $bare) / (insert_cost($case->{peer}, $n) - $bare);
}

# insert_report counts cases, with what they are compared with, and gives a line of
# each: name, instructions, what they are compared with, the ratio, the most that
# is wanted of it.
sub insert_report
{
	my ($n, $annotate, @names) = @_;
	my @lines;

	foreach my $name (@names)
	{
		my $case = $cases{$name} or die "no such case: $name\n";
		my $cost = insert_cost($name, $n, $annotate && $annotate eq $name);
		my ($ratio, $with);
		if ($case->{beside})
		{
			$with = "/ $case->{beside}";
			$ratio = $cost / insert_cost($case->{beside}, $n);
		}
		elsif ($case->{peer})
		{
			$with = "added / $case->{peer}";
			$ratio = insert_ratio($name, $n);
		}
		push @lines, [ $name, $cost, $with, $ratio, $case->{most} ];
	}
	return @lines;
}

1;
