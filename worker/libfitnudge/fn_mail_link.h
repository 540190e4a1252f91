/*
 * The links of mails: signed by the pool, verified by the edge.  The signature is HMAC-SHA256 (RFC 2104), the first 128 bits
 * in base64url, over what the link means, so that no address can be made to lead elsewhere or to speak for another user.
 *
 *   open          <base>/api/v1/e/o/<mail id>.gif?s=<signature>
 *   click         <base>/api/v1/e/c/<mail id>?s=<signature>&u=<target, %-encoded>
 *   unsubscribe   <base>/api/v1/e/u/<user id>.<list>.<signature>
 */
#ifndef FN_MAIL_LINK_H
#define FN_MAIL_LINK_H

#include "fn_buf.h"

#define FN_MAIL_SIGNATURE   22          /* characters */
#define FN_MAIL_TARGET_MAX  1024        /* bytes of a click's target */
#define FN_MAIL_LIST_MAX    32

typedef enum { FN_MAIL_OPEN = 'o', FN_MAIL_CLICK = 'c', FN_MAIL_UNSUBSCRIBE = 'u' } fn_mail_link_e;

/*
 * id: of the mail, for UNSUBSCRIBE of the user, a UUID. what: the click's target (an http or https address), the list's name
 * (a-z and _), "" for OPEN. Appends the whole link. 0, or -1: a part is malformed or memory is short.
 */
int fn_mail_link(fn_buf_t *b, const char *base, const char *key, fn_mail_link_e kind, const char *id, const char *what);

/* 1 when the signature is that of these parts, else 0. Constant time. */
int fn_mail_link_verify(const char *key, fn_mail_link_e kind, const char *id, size_t id_len, const char *what, size_t what_len,
                        const char *signature, size_t signature_len);

/* Takes the token of an unsubscribe link apart and verifies it. 1 with the user's id and the list's name, else 0. */
int fn_mail_unsubscribe(const char *key, const char *token, size_t len, char user[37], char list[FN_MAIL_LIST_MAX + 1]);

#endif
