-- Days: what the scores were at each of a model's midnights.  The tables that
-- they are written to, funnel_daily_<model> and daily_<model>, belong to models.

CREATE TABLE leadscore_internal.lead_day (
	model text COLLATE "C" PRIMARY KEY,
	written_to date NOT NULL
);
COMMENT ON TABLE leadscore_internal.lead_day IS
	'how far the days of models are written to funnel_daily_<model> and daily_<model>';
COMMENT ON COLUMN leadscore_internal.lead_day.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.lead_day.written_to IS 'last day that is written; a new model''s first is the day on which it was made';


CREATE FUNCTION leadscore.write_days(model text) RETURNS integer
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_write_days';
COMMENT ON FUNCTION leadscore.write_days(text) IS
	'writes the days of a model that have ended and are not written, as the worker does by itself; returns their number';
