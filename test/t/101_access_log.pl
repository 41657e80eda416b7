# A site's combined access log, 10,000 requests: anonymous visitors (address and
# user agent) without a row in the contact table, conditions on the URL, and
# one malformed line.  Every visitor's score is compared with plain SQL.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

BEGIN { need_data() }

use RealData;

my $file = data_file('access_log/apache_logs.gz');
my $end = '2015-05-21 00:00+00';
my @instants = ('2015-05-20 21:30+00', '2015-05-23 08:15:30+00', '2015-06-01 00:00+00');

start_server('access_log');
sql(<<'SQL');
	CREATE TABLE visitors (visitor text PRIMARY KEY);
	CREATE TABLE line (n bigint GENERATED ALWAYS AS IDENTITY, text text);
	CREATE TABLE request (n bigint, visitor text, at timestamptz, method text, url text, status int, bytes bigint,
		referrer text, agent text);
	CREATE INDEX ON request (visitor, at);
	SELECT leadscore.create_model('site', 'visitors', categories => '{engagement}');
	SELECT leadscore.attach('site', 'request', 'visitor', 'at', event => 'method');

	INSERT INTO leadscore.lead_rule (model, name, event, condition, points, weight, award, decay, decay_interval,
		time_frame, at_least, max_points, max_per_period, period, disqualifies) VALUES
		('site', 'presentation', 'GET', $$url LIKE '/presentations/%'$$, 3, NULL,
			NULL, 'half_life', '1 day', NULL, 1, NULL, NULL, NULL, false),
		('site', 'asset', 'GET', $$url ~ '\.(png|jpe?g|gif|css|js|ico)(\?|$)'$$, 0.1, NULL,
			NULL, 'none', NULL, NULL, 1, NULL, NULL, NULL, false),
		('site', 'blog, ten points an hour', 'GET', $$url LIKE '/blog/%'$$, 4, NULL,
			NULL, 'none', NULL, '3 days', 1, NULL, 10, '1 hour', false),
		('site', 'projects', NULL, $$url ~* '^/projects?/'$$, 1, 'bytes / 1000.0',
			NULL, 'linear', '4 days', NULL, 1, 200, NULL, '6 hours', false),
		('site', 'came from a search', NULL, $$referrer ILIKE '%google%' AND referrer !~ 'semicomplete'$$, 4, NULL,
			'once', 'half_life', '12 hours', NULL, 1, NULL, NULL, NULL, false),
		('site', 'form', 'POST', NULL, 10, NULL,
			NULL, 'none', NULL, NULL, 1, NULL, NULL, NULL, false),
		('site', 'only a look', 'HEAD', NULL, -1, NULL,
			NULL, 'none', NULL, NULL, 1, NULL, NULL, NULL, false),
		('site', 'not found', NULL, 'status = 404', -0.5, NULL,
			NULL, 'none', NULL, NULL, 1, 5, NULL, NULL, false),
		('site', 'keen', NULL, NULL, 8, NULL,
			NULL, 'none', NULL, '6 hours', 20, NULL, NULL, NULL, false),
		('site', 'robot', NULL, $$agent ~* 'bot|crawl|spider|slurp'$$, -20, NULL,
			'once', 'none', NULL, NULL, 1, NULL, NULL, NULL, true);
	INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('site', 'away', 'absence', -2, '36 hours');

	CREATE FUNCTION plain_site(t timestamptz, OUT contact text, OUT score float8, OUT size float8, OUT disqualified bool)
		RETURNS SETOF record STABLE LANGUAGE sql AS $plain$
	-- whole seconds since a Monday at midnight
	WITH event AS (
		SELECT *, extract(epoch FROM at - '2000-01-03 00:00+00')::bigint AS s, extract(epoch FROM t - at)::float8 AS age
		  FROM request WHERE at <= t
	), instant AS (
		SELECT floor(extract(epoch FROM t - '2000-01-03 00:00+00'))::bigint AS now
	), blog AS (
		SELECT visitor, sum(least(10, 4 * n)) AS points
		  FROM (SELECT visitor, count(*) AS n FROM event, instant
				 WHERE method = 'GET' AND url LIKE '/blog/%' AND now / 3600 - s / 3600 < 72
				 GROUP BY visitor, s / 3600) x
		 GROUP BY visitor
	), total AS (
		SELECT visitor,
			   coalesce(sum(3 * 2 ^ (-age / 86400)) FILTER (WHERE method = 'GET' AND url LIKE '/presentations/%'), 0)
			   + 0.1 * count(*) FILTER (WHERE method = 'GET' AND url ~ '\.(png|jpe?g|gif|css|js|ico)(\?|$)')
			   + least(200, coalesce(sum(coalesce(bytes, 0) / 1000.0 * greatest(0, 1 - (now / 21600 - s / 21600) * 21600 / (4 * 86400.0)))
					FILTER (WHERE url ~* '^/projects?/'), 0))
			   + coalesce(4 * 2 ^ (-2 * min(age) FILTER (WHERE referrer ILIKE '%google%' AND referrer !~ 'semicomplete') / 86400), 0)
			   + 10 * count(*) FILTER (WHERE method = 'POST')
			   - count(*) FILTER (WHERE method = 'HEAD')
			   - least(5, 0.5 * count(*) FILTER (WHERE status = 404))
			   + CASE WHEN count(*) FILTER (WHERE now / 60 - s / 60 < 360) >= 20 THEN 8 ELSE 0 END
			   - CASE WHEN bool_or(agent ~* 'bot|crawl|spider|slurp') THEN 20 ELSE 0 END
			   - CASE WHEN min(age) >= 36 * 3600 THEN 2 ELSE 0 END AS points,
			   coalesce(sum(bytes / 1000.0) FILTER (WHERE url ~* '^/projects?/'), 0) AS size,
			   bool_or(agent ~* 'bot|crawl|spider|slurp') AS robot
		  FROM event, instant GROUP BY visitor
	)
	SELECT visitor, total.points + coalesce(blog.points, 0), size, robot
	  FROM total LEFT JOIN blog USING (visitor) WHERE visitor IS NOT NULL
	$plain$;
SQL

# a line is taken as it is, and then apart; what does not fit stays empty
sql('COPY line (text) FROM ' . program("zcat $file") . " (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')");
my $parse = <<'SQL';
	INSERT INTO request
	SELECT n, p[1] || ' ' || p[7], to_timestamp(p[2], 'DD/Mon/YYYY:HH24:MI:SS TZH'), split_part(p[3], ' ', 1), split_part(p[3], ' ', 2),
		   p[4]::int, nullif(p[5], '-')::bigint, p[6], p[7]
	  FROM line LEFT JOIN LATERAL
		   regexp_match(text, '^(\S+) \S+ \S+ \[([^]]+)\] "([^"]*)" (\d+) (\S+) "([^"]*)" "([^"]*)"$') p ON true
SQL
my $set = "SET leadscore.clock = '$end'; SET timezone = 'UTC';";
sql(<<"SQL");
$set
$parse WHERE n <= 7000;
$parse WHERE n > 7000 AND n % 2 = 0;
$parse WHERE n > 7000 AND n % 2 = 1;
SQL
is(sql('SELECT count(*), count(at), count(visitor), count(DISTINCT visitor) FROM request'), '10000|9999|9999|1861',
	'all lines were loaded, one of them malformed');
is(sql('SELECT count(*), count(*) FILTER (WHERE has_contact) FROM leadscore.score_site'),
	sql('SELECT count(DISTINCT visitor), 0 FROM request'), 'every visitor has a score, and none a contact row');
agree('site', $end, \@instants, 'visitors');
verified('site', $end, 'visitors');
is( sql(<<'SQL'),
SELECT count(*), md5(string_agg(contact_id, chr(10) ORDER BY contact_id COLLATE "C")) FROM leadscore.score_site
 WHERE disqualified
SQL
	sql(<<"SQL"),
SELECT count(*), md5(string_agg(contact, chr(10) ORDER BY contact COLLATE "C")) FROM plain_site('$end')
 WHERE disqualified
SQL
	'robots');

# the malformed line is mended, robots' requests are taken out, one visitor becomes known
sql(<<"SQL");
	$set
	UPDATE request SET visitor = '46.118.127.106 Googlebot', at = '2015-05-20 12:05:17+00', method = 'GET',
		url = '/scripts/grok-py-test/configlib.py', status = 200, bytes = 235, agent = 'Googlebot'
	 WHERE at IS NULL;
	DELETE FROM request WHERE agent ~* 'spider';
	INSERT INTO visitors SELECT visitor FROM request WHERE agent ~ 'MSIE' GROUP BY 1 LIMIT 1;
SQL
agree('site', $end, [ $instants[1] ], 'corrected');
verified('site', $end, 'corrected');

done_testing();
