-- Deploy fitnudge:domains to pg
-- Types of columns that several tables have, or that a hot path writes. A domain's check is kept ready for use, while a table's is read from
-- the catalog and planned by every INSERT.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE DOMAIN public.tone AS text CHECK (VALUE IN ('friendly', 'tough_love', 'calm'));
CREATE DOMAIN public.lang AS text CHECK (VALUE IN ('en', 'es', 'fr', 'de', 'ar', 'he'));
CREATE DOMAIN public.message_source AS text CHECK (VALUE IN ('ai', 'cache', 'fallback'));
CREATE DOMAIN public.checkin_status AS text CHECK (VALUE IN ('done', 'skipped', 'missed'));
CREATE DOMAIN public.mood AS smallint CHECK (VALUE BETWEEN 1 AND 5);
CREATE DOMAIN public.message_text AS text CHECK (VALUE <> '');
CREATE DOMAIN public.reflection AS text CHECK (length(VALUE) <= 1000);
CREATE DOMAIN public.counted AS bigint CHECK (VALUE >= 0);
CREATE DOMAIN public.row_change AS text CHECK (VALUE IN ('INSERT', 'UPDATE', 'DELETE'));
CREATE DOMAIN public.job_state AS text CHECK (VALUE IN ('running', 'done', 'failed'));

COMMENT ON DOMAIN public.lang IS 'a language of conf/locales';

COMMIT;
