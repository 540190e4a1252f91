/* Firebase Cloud Messaging, HTTP v1: a token by OAuth, then one message to one device. */
#ifndef FN_FCM_H
#define FN_FCM_H

#include <openssl/evp.h>

#include "../provider.h"

#define FN_OAUTH_TOKEN_MAX  2048        /* bytes; Google's limit for access tokens */

typedef struct {
    char      project[65];
    char      email[255];
    char      key_id[129];
    char      token_uri[257];
    EVP_PKEY *key;
} fn_fcm_account_t;

/* An access token and when it is no longer used, ms since 1970; "" = none. */
typedef struct {
    char      token[FN_OAUTH_TOKEN_MAX + 1];
    uint64_t  until_ms;
} fn_oauth_t;

/* From the JSON of a service account's key file. NULL, with what is wrong with it in *problem. */
fn_fcm_account_t *fn_fcm_account_new(const char *json, size_t len, const char **problem);
void fn_fcm_account_free(fn_fcm_account_t *a);

int         fn_oauth_valid(const fn_oauth_t *o, uint64_t now_ms);
void        fn_oauth_clear(fn_oauth_t *o);     /* wipes */

/* Appends the signed assertion (RFC 7523 section 3) that is exchanged for a token. 0 or -1. */
int fn_fcm_assertion(fn_buf_t *b, const fn_fcm_account_t *a, int64_t now_s);

/*
 * Context {"token","title","body","data":{...}}; "sound" if not "default". Result {"message_id","delete_token","error"}, also when
 * the message was refused: then delete_token says that this device will never take one again.
 */
extern const fn_provider_t fn_provider_fcm;

#endif
