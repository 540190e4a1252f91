/* ElevenLabs: a text becomes speech, which goes to storage. */
#ifndef FN_ELEVENLABS_H
#define FN_ELEVENLABS_H

#include "../provider.h"

/* 1 when there is a key and at least one voice. */
int fn_elevenlabs_configured(const fn_settings_t *s);

/* Context {"text","tone","language"}: leaves MP3 in carried. */
int          fn_elevenlabs_build(fn_exchange_t *x, fn_call_t *c);
fn_outcome_e fn_elevenlabs_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);

/* Speech, then upload: also "key" and "content_type" (audio/mpeg); the result is {"key","bytes"}. */
extern const fn_provider_t fn_provider_voice;

#endif
