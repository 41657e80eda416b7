# Marketo's exports as they are: a table for each type of activity, byte order
# marks, keys as text, all of them in one model whose days are Californian.
# Every lead's score is compared with plain SQL over the same rows.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

BEGIN { need_data() }

use RealData;

my $clock = '2020-05-14 12:00+00';
my @instants = ('2020-05-06 03:00+00', '2020-05-10 07:30+00', '2020-05-15 06:59:59+00', '2020-06-20 00:00+00');
my @activities = qw(click_email email_bounced email_delivered open_email send_email unsubscribe_email merge_leads
  delete_lead change_data_value);
my %event = (send_email => 'action_result', email_bounced => 'category', change_data_value => 'primary_attribute_value_id');

sub path { return data_file("marketing_systems/marketo/marketo_$_[0]_data.csv") }

start_server('marketo');
create_from('lead', path('lead'), id => 'text PRIMARY KEY', created_at => 'timestamp', updated_at => 'timestamp');
sql("SELECT leadscore.create_model('leads', 'lead', created_at => 'created_at', time_zone => 'America/Los_Angeles')");
load('lead', path('lead'), $clock);
for my $activity (@activities)
{
	create_from($activity, path("activity_$activity"), activity_date => 'timestamp', activity_type_id => 'integer');
	sql("CREATE INDEX ON $activity (lead_id, activity_date)");
	load($activity, path("activity_$activity"), $clock) if $activity =~ /_email/;
	sql("SET leadscore.clock = '$clock'; SELECT leadscore.attach('leads', '$activity', 'lead_id', 'activity_date',"
		  . " event => '" . ($event{$activity} // 'activity_type_id') . "', time_zone => 'UTC')");
}
sql(<<"SQL");
	SET leadscore.clock = '$clock';
	INSERT INTO leadscore.lead_rule (model, name, source, event, condition, points, weight, award, decay, decay_interval, decay_keep,
		time_frame, at_least, max_points, max_per_period, disqualifies) VALUES
		('leads', 'open', 'open_email', '10', NULL, 3, NULL, NULL, 'half_life', '7 days', NULL, NULL, 1, NULL, NULL, false),
		('leads', 'open, on a Mac', 'open_email', NULL, \$\$user_agent LIKE '%Macintosh%'\$\$, 1, NULL,
			'once', 'half_life', '36 hours', NULL, NULL, 1, NULL, NULL, false),
		('leads', 'click', 'click_email', '11', \$\$link LIKE '%utm_term=invite_%'\$\$, 7, NULL,
			NULL, 'half_life', '14 days', NULL, NULL, 1, NULL, 14, false),
		('leads', 'bounced', 'email_bounced', NULL, \$\$details ~ '^5'\$\$, -5, NULL, 'once', 'step', '3 days', 0.25,
			NULL, 1, NULL, NULL, false),
		('leads', 'bounced softly', 'email_bounced', '3', NULL, -1, NULL, NULL, 'none', NULL, NULL, '14 days', 1, NULL, NULL, false),
		('leads', 'unsubscribed', 'unsubscribe_email', '9', NULL, 0, NULL, NULL, 'none', NULL, NULL, NULL, 1, NULL, NULL, true),
		('leads', 'merged', 'merge_leads', NULL, NULL, 2, 'regexp_count(merge_ids, '','') + 1', NULL, 'none', NULL,
			NULL, NULL, 1, 5, NULL, false),
		('leads', 'deleted', 'delete_lead', '29', NULL, -100, NULL, 'once', 'none', NULL, NULL, NULL, 1, NULL, NULL, false),
		('leads', 'sent', 'send_email', 'succeeded', NULL, 0.5, NULL, NULL, 'linear', '30 days', NULL, NULL, 1, NULL, NULL, false),
		('leads', 'skipped', 'send_email', 'skipped', 'activity_type_id = 6', -0.5, NULL, NULL, 'none', NULL, NULL,
			NULL, 1, NULL, NULL, false),
		('leads', 'delivered', 'email_delivered', NULL, NULL, 0.1, NULL, NULL, 'none', NULL, NULL, NULL, 1, NULL, NULL, false),
		('leads', 'change', 'change_data_value', '982', 'new_value IS DISTINCT FROM old_value', 4, NULL,
			NULL, 'half_life', '6 hours', NULL, '8 hours', 1, NULL, NULL, false);
	INSERT INTO leadscore.lead_rule (model, name, kind, source, points, award, idle, max_points) VALUES
		('leads', 'quiet', 'absence', NULL, -1, 'each', '1 day', 20),
		('leads', 'does not open', 'absence', 'open_email', -3, 'once', '3 days', NULL);
	INSERT INTO leadscore.lead_rule (model, name, kind, condition, points)
		VALUES ('leads', 'a name', 'profile', \$\$first_name ~ '^first_[0-9]+\$' AND email LIKE '%@%'\$\$, 6);
SQL
load($_, path("activity_$_"), $clock) foreach grep { !/_email/ } @activities;

my $happened = join(' UNION ALL ', map { "SELECT lead_id AS lead, activity_date AT TIME ZONE 'UTC' AS at FROM $_" } @activities);
sql(<<"SQL");
	CREATE FUNCTION age(activity_date timestamp, t timestamptz) RETURNS float8 IMMUTABLE LANGUAGE sql
		RETURN extract(epoch FROM t - (activity_date AT TIME ZONE 'UTC')) / 86400;
	CREATE FUNCTION days(activity_date timestamp, t timestamptz) RETURNS int IMMUTABLE LANGUAGE sql
		RETURN (t AT TIME ZONE 'America/Los_Angeles')::date - (activity_date AT TIME ZONE 'UTC' AT TIME ZONE 'America/Los_Angeles')::date;
	CREATE VIEW happened AS $happened;
	CREATE FUNCTION plain_leads(t timestamptz, OUT contact text, OUT score float8, OUT size float8)
		RETURNS SETOF record STABLE LANGUAGE sql AS \$plain\$
	WITH known AS (
		SELECT lead, max(at) FILTER (WHERE at <= t) AS last, min(at) FILTER (WHERE at <= t) AS first FROM happened GROUP BY 1
	), everybody AS (
		SELECT coalesce(lead, id) AS lead, created_at AT TIME ZONE 'America/Los_Angeles' AS created, last, first, email, first_name
		  FROM known FULL JOIN lead ON id = known.lead
	), part (lead, points) AS (
		SELECT lead_id, 3 * 2 ^ (-age(activity_date, t) / 7) FROM open_email WHERE age(activity_date, t) >= 0
		UNION ALL SELECT lead_id, 2 ^ (-min(age(activity_date, t)) / 1.5) FROM open_email
			WHERE age(activity_date, t) >= 0 AND user_agent LIKE '%Macintosh%' GROUP BY 1
		UNION ALL SELECT lead_id, least(14, 7 * count(*)) * 2 ^ (-days(activity_date, t) / 14.0) FROM click_email
			WHERE age(activity_date, t) >= 0 AND link LIKE '%utm_term=invite_%' GROUP BY 1, days(activity_date, t)
		UNION ALL SELECT lead_id, -5 * 0.25 ^ (min(days(activity_date, t)) / 3) FROM email_bounced
			WHERE age(activity_date, t) >= 0 AND details ~ '^5' GROUP BY 1
		UNION ALL SELECT lead_id, -1 FROM email_bounced WHERE age(activity_date, t) >= 0 AND days(activity_date, t) < 14 AND category = '3'
		UNION ALL SELECT lead_id, least(5, coalesce(sum(2 * (1 + length(merge_ids) - length(replace(merge_ids, ',', '')))), 0))
			FROM merge_leads WHERE age(activity_date, t) >= 0 GROUP BY 1
		UNION ALL SELECT DISTINCT lead_id, -100 FROM delete_lead WHERE age(activity_date, t) >= 0
		UNION ALL SELECT lead_id, 0.5 * greatest(0, 1 - days(activity_date, t) / 30.0) FROM send_email
			WHERE age(activity_date, t) >= 0 AND action_result = 'succeeded'
		UNION ALL SELECT lead_id, -0.5 FROM send_email WHERE age(activity_date, t) >= 0 AND action_result = 'skipped'
		UNION ALL SELECT lead_id, 0.1 FROM email_delivered WHERE age(activity_date, t) >= 0
		UNION ALL SELECT lead_id, 4 * 2 ^ (-minutes / 360.0) FROM (
			SELECT *, floor(extract(epoch FROM t) / 60) - floor(extract(epoch FROM activity_date) / 60) AS minutes
			  FROM change_data_value WHERE age(activity_date, t) >= 0) x
			WHERE primary_attribute_value_id = '982' AND new_value IS DISTINCT FROM old_value AND minutes < 480
		UNION ALL SELECT lead,
			-least(20, greatest(0, floor(extract(epoch FROM t - greatest(coalesce(created, first), last)) / 86400)))
		  FROM everybody
			WHERE coalesce(created, first) IS NOT NULL
		UNION ALL SELECT lead, -3 FROM everybody
			LEFT JOIN (SELECT lead_id, max(activity_date AT TIME ZONE 'UTC') AS opened FROM open_email
						WHERE age(activity_date, t) >= 0 GROUP BY 1) x ON lead_id = lead
			WHERE t - greatest(coalesce(created, first), opened) >= interval '3 days'
		UNION ALL SELECT lead, 6 FROM everybody WHERE first_name ~ '^first_[0-9]+\$' AND email LIKE '%\@%'
		UNION ALL SELECT lead, 0 FROM everybody
	)
	SELECT lead, coalesce(sum(points), 0), coalesce(sum(abs(points)), 0) FROM part GROUP BY lead
	\$plain\$;
SQL
agree('leads', $clock, \@instants, 'as exported');
verified('leads', $clock, 'as exported');
is( sql('SELECT count(*) FROM leadscore.score_leads WHERE disqualified AND NOT has_contact'),
	sql('SELECT count(DISTINCT lead_id) FROM unsubscribe_email'), 'who unsubscribed is disqualified');

# leads become known, what was merged moves to the lead that is left
sql(<<"SQL");
	SET leadscore.clock = '$clock';
	INSERT INTO lead (id, created_at, email, first_name)
		SELECT DISTINCT lead_id, timestamp '2020-05-01 00:00', 'x\@y.example', 'first_1' FROM open_email;
	UPDATE open_email SET lead_id = m.lead_id FROM merge_leads m
	 WHERE open_email.lead_id = ANY (string_to_array(btrim(m.merge_ids, '[]'), ','));
	UPDATE send_email s SET lead_id = o.lead_id FROM open_email o WHERE s.id LIKE '%7' AND o.id LIKE '%2';
	DELETE FROM email_bounced WHERE id LIKE '%5';
	UPDATE lead SET id = lead_id FROM unsubscribe_email WHERE lead.id = '1031229' AND lead_id = '1349462';
	DELETE FROM lead WHERE first_name = 'first_002';
SQL
agree('leads', $clock, [ $instants[2] ], 'merged and corrected');
verified('leads', $clock, 'merged and corrected');

done_testing();
