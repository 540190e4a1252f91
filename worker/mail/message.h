/*
 * A mail as it goes over the wire: RFC 5322 headers, MIME multipart/alternative (RFC 2045, 2046), quoted-printable bodies,
 * encoded words (RFC 2047), one-click unsubscription (RFC 8058). Lines end in CRLF and have at most 78 characters.
 * Nothing that comes from outside can begin a header line of its own.
 */
#ifndef FN_MESSAGE_H
#define FN_MESSAGE_H

#include "../libfitnudge/fn_buf.h"

#define FN_SUBJECT_MAX  200         /* code points */
#define FN_NAME_MAX     100

typedef struct {
    const char *from, *from_name;
    const char *to, *to_name;           /* a name may be NULL */
    const char *subject;
    const char *text, *html;            /* UTF-8, lines end in LF; html may be NULL */
    const char *language;               /* "en" */
    const char *id;                     /* a UUID: Message-ID and boundary are made of it, so a retry sends the same mail */
    const char *unsubscribe;            /* an https address, or NULL */
    int64_t     date_s;
} fn_message_t;

/* Appends the mail. 0, or -1: an address or the id is malformed, a text is not UTF-8, or memory is short. */
int fn_message_build(fn_buf_t *b, const fn_message_t *m);

/* 1 for local@domain in ASCII without quoting (RFC 5321's Dot-string and Domain), at most 254 bytes. */
int fn_message_address_valid(const char *s);

/* Appends "<id@domain of from>". */
void fn_message_id(fn_buf_t *b, const char *id, const char *from);

/* Appends encoded words of at most 75 characters, each on a line of its own; `column` characters stand before the first. */
void fn_message_words(fn_buf_t *b, const char *s, size_t n, size_t column);

/* Appends quoted-printable (RFC 2045 section 6.7); LF becomes CRLF, CR is dropped. */
void fn_message_quoted(fn_buf_t *b, const char *s, size_t n);

#endif
