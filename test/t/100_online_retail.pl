# UCI's Online Retail, its 541,909 rows as they are: purchases and cancellations
# by their amount, rows without a customer, timestamps without a zone.  Every
# customer's score is compared with plain SQL over the same rows.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

BEGIN { need_data() }

use RealData;

my $file = data_file('online_retail/online_retail.csv.gz');
my $end = '2011-12-10 00:00+00';
my @instants = ('2011-12-09 12:50+00', '2012-03-25 01:30+00', '2014-01-01 00:00+00');
my $before = '2011-06-15 12:34:56+00';

start_server('online_retail');
sql(<<'SQL');
	CREATE TABLE online_retail ("InvoiceNo" text, "StockCode" text, "Description" text, "Quantity" integer,
		"InvoiceDate" timestamp, "UnitPrice" numeric, "CustomerID" integer, "Country" text);
	CREATE TABLE customers (id integer PRIMARY KEY, country text);
	-- who has not bought yet
	INSERT INTO customers VALUES (1, 'France'), (2, 'United Kingdom');
	SELECT leadscore.create_model('retail', 'customers', time_zone => 'Europe/London');
	SELECT leadscore.attach('retail', 'online_retail', 'CustomerID', 'InvoiceDate', event => 'StockCode');

	INSERT INTO leadscore.lead_rule (model, name, event, condition, points, weight, award, decay, decay_interval, decay_keep,
		time_frame, at_least, max_points, max_per_period, events_from, events_before) VALUES
		('retail', 'purchase', NULL, $$"InvoiceNo" NOT LIKE 'C%'$$, 0.01, '"Quantity" * "UnitPrice"',
			NULL, 'half_life', '90 days', NULL, NULL, 1, NULL, NULL, NULL, NULL),
		('retail', 'cancellation', NULL, $$"InvoiceNo" LIKE 'C%'$$, 0.02, '"Quantity" * "UnitPrice"',
			NULL, 'half_life', '30 days', NULL, NULL, 1, NULL, NULL, NULL, NULL),
		('retail', 'christmas goods', NULL, $$"Description" ~* 'christmas|xmas'$$, 0.5, NULL,
			NULL, 'half_life', '5 days', NULL, NULL, 1, NULL, NULL, NULL, NULL),
		('retail', 'lines of a month', NULL, NULL, 1, NULL,
			NULL, 'none', NULL, NULL, '30 days', 1, 100, NULL, NULL, NULL),
		('retail', 'loyal', NULL, $$"InvoiceNo" NOT LIKE 'C%'$$, 25, NULL,
			'once', 'none', NULL, NULL, '180 days', 50, NULL, NULL, NULL, NULL),
		('retail', 'five a day', NULL, $$"InvoiceNo" NOT LIKE 'C%'$$, 1, NULL,
			NULL, 'linear', '180 days', NULL, NULL, 1, NULL, 5, NULL, NULL),
		('retail', 'postage', 'POST', NULL, -1, '"Quantity"',
			NULL, 'step', '7 days', 0.5, NULL, 1, NULL, NULL, NULL, NULL),
		('retail', 'first christmas', NULL, NULL, 0.1, NULL,
			NULL, 'none', NULL, NULL, NULL, 1, NULL, NULL, '2010-12-01 09:00+00', '2011-01-01 00:00+00');
	INSERT INTO leadscore.lead_rule (model, name, kind, award, points, idle, max_points)
		VALUES ('retail', 'lapsed', 'absence', 'each', -5, '30 days', 60);
	INSERT INTO leadscore.lead_rule (model, name, kind, condition, points)
		VALUES ('retail', 'abroad', 'profile', $$country <> 'United Kingdom'$$, 5);
	INSERT INTO leadscore.lead_rule (model, name, condition, points, disqualifies)
		VALUES ('retail', 'sends back by the thousand', '"Quantity" <= -1000', 0, true);

	-- what every rule asks of a row, once
	CREATE MATERIALIZED VIEW plain_event AS
	SELECT "CustomerID" AS c, "InvoiceNo" LIKE 'C%' AS back, ("Quantity" * "UnitPrice")::float8 AS amount,
		   "Description" ~* 'christmas|xmas' AS christmas, "StockCode" = 'POST' AS post, "Quantity" AS quantity,
		   "InvoiceDate" AT TIME ZONE 'Europe/London' AS at, "InvoiceDate"::date AS date
	  FROM online_retail
	 WHERE "CustomerID" IS NOT NULL;

	CREATE FUNCTION plain_retail(t timestamptz, OUT contact int, OUT score float8, OUT size float8, OUT disqualified bool)
		RETURNS SETOF record STABLE LANGUAGE sql AS $plain$
	WITH event AS (
		SELECT *, extract(epoch FROM t - at)::float8 / 86400 AS days, (t AT TIME ZONE 'Europe/London')::date - date AS age
		  FROM plain_event WHERE at <= t
	), daily AS (
		SELECT c, sum(greatest(0, 1 - age / 180.0) * least(5, n)) AS points
		  FROM (SELECT c, age, count(*) AS n FROM event WHERE NOT back GROUP BY c, age) x
		 GROUP BY c
	), total AS (
		SELECT c,
			   coalesce(sum(0.01 * amount * 2 ^ (-days / 90)) FILTER (WHERE NOT back), 0)
			   + coalesce(sum(0.02 * amount * 2 ^ (-days / 30)) FILTER (WHERE back), 0)
			   + coalesce(sum(0.5 * 2 ^ (-days / 5)) FILTER (WHERE christmas), 0)
			   + least(100, count(*) FILTER (WHERE age < 30))
			   + CASE WHEN count(*) FILTER (WHERE NOT back AND age < 180) >= 50 THEN 25 ELSE 0 END
			   + coalesce(sum(-1 * quantity * 0.5 ^ (age / 7)) FILTER (WHERE post), 0)
			   + 0.1 * count(*) FILTER (WHERE at >= '2010-12-01 09:00+00' AND at < '2011-01-01 00:00+00')
			   - least(60, 5 * floor(extract(epoch FROM t - max(at)) / 86400 / 30)) AS points,
			   sum(abs(0.02 * amount * 2 ^ (-days / 30))) AS size,
			   bool_or(quantity <= -1000) AS disqualified
		  FROM event GROUP BY c
	), known AS (
		SELECT c FROM plain_event UNION SELECT id FROM customers
	)
	SELECT c, coalesce(total.points, 0) + coalesce(daily.points, 0) + CASE WHEN country <> 'United Kingdom' THEN 5 ELSE 0 END,
		   coalesce(size, 0), coalesce(disqualified, false)
	  FROM known LEFT JOIN total USING (c) LEFT JOIN daily USING (c) LEFT JOIN customers ON id = c
	$plain$;

	CREATE FUNCTION plain_revenue(t timestamptz, OUT contact int, OUT score float8, OUT size float8)
		RETURNS SETOF record STABLE LANGUAGE sql AS $plain$
	SELECT coalesce(id, "CustomerID"), coalesce(sum("Quantity" * "UnitPrice"), 0), coalesce(sum(abs("Quantity" * "UnitPrice")), 0)
	  FROM (SELECT * FROM online_retail WHERE "CustomerID" IS NOT NULL AND "InvoiceDate" <= t AT TIME ZONE 'UTC') e
	  FULL JOIN customers ON id = "CustomerID"
	 GROUP BY 1
	$plain$;
SQL

# the rows come while the model is attached; the clock stands before the last of them
sql("SET leadscore.clock = '$before'; COPY online_retail FROM " . program("zcat $file") . ' (FORMAT csv, HEADER)');
sql('REFRESH MATERIALIZED VIEW plain_event; ANALYZE plain_event');
is(sql('SELECT count(*), count("CustomerID"), count(DISTINCT "CustomerID"),'
	  . q{ count(*) FILTER (WHERE "InvoiceNo" LIKE 'C%') FROM online_retail}),
	'541909|406829|4372|9288', 'all rows were loaded');
is(sql('SELECT count(*), count(*) FILTER (WHERE has_contact) FROM leadscore.score_retail'), '4374|2',
	'rows without a customer are nobody\'s');
agree('retail', $before, [], 'with half of the events in the future');

# time passes, the customers become known, and an index
sql("SET leadscore.clock = '$end'; SELECT leadscore.refresh('retail')");
sql("SET leadscore.clock = '$end'; INSERT INTO customers"
	  . ' SELECT "CustomerID", min("Country") FROM online_retail WHERE "CustomerID" IS NOT NULL GROUP BY 1;'
	  . 'CREATE INDEX ON online_retail ("CustomerID", "InvoiceDate"); ANALYZE');
agree('retail', $end, \@instants, 'at the end');
agree_at('retail', $end, [$before], 'as of the past');
verified('retail', $end, 'at the end');
is( sql('SELECT string_agg(contact_id::text, \',\' ORDER BY contact_id) FROM leadscore.score_retail WHERE disqualified'),
	sql("SELECT string_agg(contact::text, ',' ORDER BY contact) FROM plain_retail('$end') WHERE disqualified"),
	'who is disqualified');
is( sql(<<'SQL'),
SELECT string_agg(contact_id::text, ',' ORDER BY score DESC)
  FROM (SELECT * FROM leadscore.score_retail ORDER BY score DESC LIMIT 20) s
SQL
	sql(<<"SQL"),
SELECT string_agg(contact::text, ',' ORDER BY score DESC)
  FROM (SELECT * FROM plain_retail('$end') ORDER BY score DESC LIMIT 20) p
SQL
	'the best twenty');

# another model is attached to the rows that are there
sql(<<"SQL");
	SET leadscore.clock = '$end';
	SELECT leadscore.create_model('revenue', 'customers');
	SELECT leadscore.attach('revenue', 'online_retail', 'CustomerID', 'InvoiceDate');
	INSERT INTO leadscore.lead_rule (model, name, points, weight) VALUES ('revenue', 'amount', 1, '"Quantity" * "UnitPrice"');
SQL
agree('revenue', $end, [ $before, $instants[1] ], 'attached to rows');
verified('revenue', $end, 'attached to rows');
is( sql("SELECT string_agg(contact_id || ' ' || round(score::numeric, 2), ', ' ORDER BY score DESC)"
	  . ' FROM (SELECT * FROM leadscore.score_revenue ORDER BY score DESC LIMIT 3) s'),
	'14646 279489.02, 18102 256438.49, 17450 187482.17', 'the best three customers, as published');

# cancellations are taken out, a batch of purchases is corrected
sql(<<"SQL");
	SET leadscore.clock = '$end';
	DELETE FROM online_retail WHERE "InvoiceNo" LIKE 'C%' AND "InvoiceDate" >= '2011-11-01';
	UPDATE online_retail SET "Quantity" = "Quantity" + 1 WHERE "InvoiceDate" >= '2011-12-08';
SQL
sql('REFRESH MATERIALIZED VIEW plain_event');
agree($_, $end, [], "$_ corrected") foreach 'retail', 'revenue';
verified($_, $end, "$_ corrected") foreach 'retail', 'revenue';

done_testing();
