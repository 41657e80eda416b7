\echo Use "ALTER EXTENSION leadscore UPDATE TO '0.7.0'" to load this file. \quit
LOCK TABLE leadscore.lead_model IN ACCESS EXCLUSIVE MODE;
