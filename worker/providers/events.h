/* Where events go: analytics, workflows, alerts, errors and traces. A job of these is told to nobody, so its result is small. */
#ifndef FN_EVENTS_H
#define FN_EVENTS_H

#include "../provider.h"

/*
 * Context {"events":[{"event","distinct_id","properties":{},"timestamp","uuid"}]}; the last three may be missing. Malformed events are left
 * out. Who has not consented must not be in it. Result {"status":200}.
 */
extern const fn_provider_t fn_provider_posthog;

/* Context {"payload":{...}}, sent as it is. Result {"status":n}. */
extern const fn_provider_t fn_provider_n8n;

/* Context {"text"}, plain text: &, < and > are escaped. Result {"status":200}. */
extern const fn_provider_t fn_provider_slack;

/*
 * Context {"level","message","logger","type","value","tags":{},"trace_id","span_id","server_name"}; level and message are needed. Result {"event_id"}.
 * Tried once: an error that cannot be reported must not become work.
 */
extern const fn_provider_t fn_provider_sentry;

/*
 * Context {"spans":[{"trace_id","span_id","parent_span_id","name","kind","start_us","end_us","error":bool,"attributes":{}}]}: ids in
 * hex, kind "server", "client" or "internal", times in microseconds since 1970. Malformed spans are left out. Result {"rejected":n}.
 */
extern const fn_provider_t fn_provider_otlp;

#endif
