# HubSpot's exports as they are: real column names, text keys, one table as two
# sources, form submissions that lie in the future of the clock.  Every
# contact's score is compared with plain SQL over the same rows.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

BEGIN { need_data() }

use RealData;

my $dir = 'marketing_systems/hubspot';
my $clock = '2021-06-01 00:00+00';
my @instants = ('2020-03-20 00:00+00', '2021-06-02 12:00+00', '2022-04-14 06:00+00', '2024-01-01 00:00+00');

start_server('hubspot');
create_from('contact_data', data_file("$dir/contact_data.csv"), id => 'text PRIMARY KEY', property_created_at => 'timestamp');
create_from('email_event_data', data_file("$dir/email_event_data.csv"),
	created => 'timestamp', sent_by_created => 'timestamp', filtered_event => 'boolean');
create_from('contact_form_submission_data', data_file("$dir/contact_form_submission_data.csv"), timestamp => 'timestamp');
create_from('contact_merge_audit_data', data_file("$dir/contact_merge_audit_data.csv"), timestamp => 'timestamp');
create_from('deal_contact_data', data_file("$dir/deal_contact_data.csv"), _fivetran_synced => 'timestamp');

# contacts, forms and deals come while the tables are attached, the others are there before
my $load = sub { load($_, data_file("$dir/$_.csv"), $clock) foreach @_ };
$load->('email_event_data', 'contact_merge_audit_data');
sql(<<"SQL");
	SET leadscore.clock = '$clock';
	SELECT leadscore.create_model('hub', 'contact_data', created_at => 'property_created_at');
	SELECT leadscore.attach('hub', 'email_event_data', 'recipient', 'created', event => 'type', source => 'mail');
	SELECT leadscore.attach('hub', 'email_event_data', 'recipient', 'sent_by_created', source => 'sent');
	SELECT leadscore.attach('hub', 'contact_form_submission_data', 'contact_id', 'timestamp', event => 'title', source => 'form');
	SELECT leadscore.attach('hub', 'contact_merge_audit_data', 'contact_id', 'timestamp');
	SELECT leadscore.attach('hub', 'deal_contact_data', 'contact_id', '_fivetran_synced', event => 'type_id', source => 'deal');

	INSERT INTO leadscore.lead_rule (model, name, source, event, condition, points, weight, award, decay, decay_interval,
		time_frame, at_least, max_points) VALUES
		('hub', 'opened', 'mail', 'OPEN', NULL, 2, NULL, NULL, 'half_life', '7 days', NULL, 1, 30),
		('hub', 'five opened', 'mail', 'OPEN', 'NOT filtered_event', 25, NULL, 'once', 'none', NULL, '30 days', 5, NULL),
		('hub', 'delivered', 'mail', 'DELIVERED', NULL, 0.5, NULL, NULL, 'none', NULL, NULL, 1, NULL),
		('hub', 'hours until it was opened', 'sent', NULL, \$\$type = 'OPEN'\$\$, -0.1,
			'extract(epoch FROM created - sent_by_created) / 3600', NULL, 'half_life', '30 days', NULL, 1, NULL),
		('hub', 'campaign', 'sent', NULL, \$\$email_campaign_id ~ '^[0-9]\$'\$\$, 1, NULL, NULL, 'linear', '200 days', NULL, 1, 12),
		('hub', 'demo', 'form', 'Request Demo', NULL, 80, NULL, NULL, 'half_life', '90 days', NULL, 1, NULL),
		('hub', 'page', 'form', NULL, \$\$page_url LIKE 'https://example.com/%u%'\$\$, 10, NULL, 'once', 'half_life',
			'60 days', NULL, 1, NULL),
		('hub', 'merged', 'contact_merge_audit_data', NULL, NULL, 1, 'num_properties_moved::float8', NULL, 'none', NULL, NULL, 1, NULL),
		('hub', 'deal', 'deal', NULL, \$\$category = 'HUBSPOT_DEFINED'\$\$, 5, NULL, NULL, 'none', NULL, NULL, 1, NULL),
		('hub', 'primary', 'deal', '101112', NULL, 7, NULL, NULL, 'none', NULL, NULL, 1, NULL);
	INSERT INTO leadscore.lead_rule (model, name, kind, points, award, idle, max_points)
		VALUES ('hub', 'silent', 'absence', -5, 'each', '90 days', 40);
	INSERT INTO leadscore.lead_rule (model, name, kind, condition, points, weight) VALUES
		('hub', 'company', 'profile', 'property_company IS NOT NULL', 5, NULL),
		('hub', 'revenue', 'profile', 'property_annualrevenue::float8 > 100000', 1, 'ln(property_annualrevenue::float8)');
SQL
$load->('contact_data', 'contact_form_submission_data', 'deal_contact_data');

sql(<<'SQL');
	CREATE FUNCTION plain_hub(t timestamptz, OUT contact text, OUT score float8, OUT size float8)
		RETURNS SETOF record STABLE LANGUAGE sql AS $plain$
	WITH mail AS (
		SELECT *, extract(epoch FROM t - (created AT TIME ZONE 'UTC'))::float8 / 86400 AS days,
			   (t AT TIME ZONE 'UTC')::date - created::date AS age
		  FROM email_event_data WHERE created AT TIME ZONE 'UTC' <= t
	), sent AS (
		SELECT *, extract(epoch FROM t - (sent_by_created AT TIME ZONE 'UTC'))::float8 / 86400 AS days,
			   (t AT TIME ZONE 'UTC')::date - sent_by_created::date AS age
		  FROM email_event_data WHERE sent_by_created AT TIME ZONE 'UTC' <= t
	), form AS (
		SELECT *, extract(epoch FROM t - ("timestamp" AT TIME ZONE 'UTC'))::float8 / 86400 AS days
		  FROM contact_form_submission_data WHERE "timestamp" AT TIME ZONE 'UTC' <= t
	), happened AS (
		SELECT recipient AS contact, created AS at FROM email_event_data
		UNION ALL SELECT recipient, sent_by_created FROM email_event_data WHERE sent_by_created IS NOT NULL
		UNION ALL SELECT contact_id, "timestamp" FROM contact_form_submission_data
		UNION ALL SELECT contact_id, "timestamp" FROM contact_merge_audit_data
		UNION ALL SELECT contact_id, _fivetran_synced FROM deal_contact_data
	), part (contact, points) AS (
		SELECT recipient, least(30, sum(2 * 2 ^ (-days / 7))) FROM mail WHERE type = 'OPEN' GROUP BY 1
		UNION ALL SELECT recipient, 25 FROM mail WHERE type = 'OPEN' AND NOT filtered_event AND age < 30 GROUP BY 1 HAVING count(*) >= 5
		UNION ALL SELECT recipient, 0.5 FROM mail WHERE type = 'DELIVERED'
		UNION ALL SELECT recipient, -0.1 * extract(epoch FROM created - sent_by_created) / 3600 * 2 ^ (-days / 30)
		  FROM sent WHERE type = 'OPEN'
		UNION ALL SELECT recipient, least(12, sum(greatest(0, 1 - age / 200.0))) FROM sent WHERE email_campaign_id ~ '^[0-9]$' GROUP BY 1
		UNION ALL SELECT contact_id, 80 * 2 ^ (-days / 90) FROM form WHERE title = 'Request Demo'
		UNION ALL SELECT contact_id, 10 * 2 ^ (-min(days) / 60) FROM form WHERE page_url LIKE 'https://example.com/%u%' GROUP BY 1
		UNION ALL SELECT contact_id, num_properties_moved::float8 FROM contact_merge_audit_data WHERE "timestamp" AT TIME ZONE 'UTC' <= t
		UNION ALL SELECT contact_id, CASE type_id WHEN '101112' THEN 12 ELSE 5 END FROM deal_contact_data
		 WHERE _fivetran_synced AT TIME ZONE 'UTC' <= t
		UNION ALL SELECT contact,
			-least(40, 5 * greatest(0,
				floor(extract(epoch FROM t - (greatest(property_created_at, last) AT TIME ZONE 'UTC')) / 86400 / 90)))
			FROM (SELECT contact, max(at) AS last FROM happened WHERE at AT TIME ZONE 'UTC' <= t GROUP BY 1) x
			FULL JOIN contact_data ON id = contact WHERE contact IS NOT NULL
		UNION ALL SELECT id,
			-least(40,
				5 * greatest(0, floor(extract(epoch FROM t - (property_created_at AT TIME ZONE 'UTC')) / 86400 / 90)))
			FROM contact_data WHERE NOT EXISTS (SELECT FROM happened WHERE contact = id AND at AT TIME ZONE 'UTC' <= t)
		UNION ALL SELECT id, 5 FROM contact_data WHERE property_company IS NOT NULL
		UNION ALL SELECT id, ln(property_annualrevenue::float8) FROM contact_data WHERE property_annualrevenue::float8 > 100000
		-- known, if only by what is to come
		UNION ALL SELECT contact, 0 FROM happened WHERE contact IS NOT NULL
		UNION ALL SELECT id, 0 FROM contact_data
	)
	SELECT contact, sum(points), sum(abs(points)) FROM part GROUP BY contact
	$plain$;
SQL
is( sql('SELECT count(*), count(*) FILTER (WHERE has_contact) FROM leadscore.score_hub'),
	sql("SELECT count(*), (SELECT count(*) FROM contact_data) FROM plain_hub('$clock')"),
	'contacts, in the contact table or not');
agree('hub', $clock, \@instants, 'as exported');
verified('hub', $clock, 'as exported');

# time passes; what was to come has come
$clock = '2024-06-01 00:00+00';
sql(<<"SQL");
SET leadscore.clock = '$clock';
SELECT leadscore.refresh('hub');
SELECT leadscore.rescore('hub');
SQL
agree('hub', $clock, \@instants, 'three years later');
verified('hub', $clock, 'three years later');

# deals move to another contact, times and types are corrected, contacts go
sql(<<"SQL");
	SET leadscore.clock = '$clock';
	UPDATE deal_contact_data SET contact_id = '78971951' WHERE contact_id LIKE '14994%';
	UPDATE email_event_data SET sent_by_created = NULL WHERE email_campaign_id = '2';
	UPDATE email_event_data SET type = 'DELIVERED' WHERE filtered_event;
	DELETE FROM contact_data WHERE id IN ('76340251', '46897301');
SQL
agree('hub', $clock, [ $instants[1] ], 'corrected');
verified('hub', $clock, 'corrected');

done_testing();
