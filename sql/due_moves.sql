-- Rows of due_<model> that a refresh replaces together: the same, however often work_mem makes it flush them.
CREATE SCHEMA due_moves;
SET search_path = due_moves;
SET timezone = 'UTC';
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-01 12:00+00';
CREATE TABLE contact (id int PRIMARY KEY);
CREATE TABLE event (contact int, at timestamptz, what text);
CREATE INDEX ON event (contact, at);
INSERT INTO contact SELECT generate_series(1, 3000);
INSERT INTO event SELECT 1 + n * 7 % 3000, timestamptz '2026-02-01' + n * 331 * interval '1 second', 'v' FROM generate_series(1, 6000) n;
DO $$ BEGIN
	FOR i IN 1 .. 2 LOOP
		PERFORM leadscore.create_model('moves_' || i, 'contact'), leadscore.attach('moves_' || i, 'event', 'contact', 'at', 'what');
		INSERT INTO leadscore.lead_rule (model, name, event, points, decay_interval) VALUES ('moves_' || i, 'v', 'v', 40, '9 days');
		INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame) VALUES ('moves_' || i, 'often', 'v', 1, '12 days');
		INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('moves_' || i, 'warm', 1, 25);
	END LOOP;
END $$;
SELECT count(*) FROM leadscore.due_moves_1;
CREATE FUNCTION moved(at text) RETURNS TABLE (refreshed text, contacts bigint, differ bigint, late bigint) LANGUAGE plpgsql AS $$
DECLARE
	small bigint;
	large bigint;
BEGIN
	PERFORM set_config('leadscore.clock', at, false), set_config('work_mem', '64kB', false);
	small = leadscore.refresh('moves_1');
	PERFORM set_config('work_mem', '64MB', false);
	large = leadscore.refresh('moves_2');
	RETURN QUERY SELECT CASE WHEN small = large THEN 'the same' ELSE small || ' and ' || large END, (SELECT count(*) FROM leadscore.due_moves_1),
		(SELECT count(*) FROM (SELECT due_at, drift, contact_id FROM leadscore.due_moves_1
			EXCEPT SELECT due_at, drift, contact_id FROM leadscore.due_moves_2) d),
		(SELECT count(*) FROM leadscore.due_moves_1 WHERE due_at <= at::timestamptz);
END $$;
SELECT * FROM moved('2026-03-03 00:00+00');
SELECT * FROM moved('2026-03-04 12:00+00');
SELECT * FROM moved('2026-03-20 00:00+00');
SELECT count(*) FROM leadscore.verify('moves_1');
SELECT leadscore.detach_all();
DROP SCHEMA due_moves CASCADE;
