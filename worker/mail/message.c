/* Mails on the wire: see message.h. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "../libfitnudge/fn_utf8.h"
#include "../libfitnudge/fn_uuid.h"
#include "../providers/exchange.h"
#include "message.h"

#define FN_WORD_BYTES   45      /* 60 characters of base64 and 12 of frame */
#define FN_QP_LINE      75      /* and the soft break's "=" */

static void fn_message_mailbox(fn_buf_t *b, const char *field, const char *name, const char *address);
static void fn_message_text_header(fn_buf_t *b, const char *field, const char *s, size_t max);
static void fn_message_date(fn_buf_t *b, int64_t date_s);
static void fn_message_part(fn_buf_t *b, const char *boundary, const char *type, const char *s);
static int fn_message_plain(const char *s, size_t n);


int
fn_message_build(fn_buf_t *b, const fn_message_t *m)
{
    char  boundary[48];

    if (!fn_message_address_valid(m->from) || !fn_message_address_valid(m->to)
        || !fn_uuid_valid(m->id, strlen(m->id))
        || strlen(m->language) != 2 || strspn(m->language, "abcdefghijklmnopqrstuvwxyz") != 2
        || !fn_utf8_valid(m->text, strlen(m->text))
        || (m->html != NULL && !fn_utf8_valid(m->html, strlen(m->html)))
        || !fn_utf8_valid(m->subject, strlen(m->subject))
        || (m->from_name != NULL && !fn_utf8_valid(m->from_name, strlen(m->from_name)))
        || (m->to_name != NULL && !fn_utf8_valid(m->to_name, strlen(m->to_name))))
    {
        return -1;
    }

    if (m->unsubscribe != NULL
        && (strncmp(m->unsubscribe, "http", 4) != 0 || strlen(m->unsubscribe) > 900
            || !fn_message_plain(m->unsubscribe, strlen(m->unsubscribe)) || strpbrk(m->unsubscribe, " <>,") != NULL))
    {
        return -1;
    }

    /* "=_" stands in no quoted-printable text. */
    snprintf(boundary, sizeof(boundary), "=_%s", m->id);

    fn_message_date(b, m->date_s);
    fn_message_mailbox(b, "From", m->from_name, m->from);
    fn_message_mailbox(b, "To", m->to_name, m->to);
    fn_message_text_header(b, "Subject", m->subject, FN_SUBJECT_MAX);
    fn_buf_adds(b, "Message-ID: ");
    fn_message_id(b, m->id, m->from);
    fn_buf_addf(b, "\r\nContent-Language: %s\r\nAuto-Submitted: auto-generated\r\n", m->language);

    if (m->unsubscribe != NULL) {
        fn_buf_addf(b, "List-Unsubscribe:\r\n <%s>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", m->unsubscribe);
    }

    fn_buf_adds(b, "MIME-Version: 1.0\r\n");

    if (m->html == NULL) {
        fn_buf_adds(b, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n");
        fn_message_quoted(b, m->text, strlen(m->text));
        return b->failed ? -1 : 0;
    }

    fn_buf_addf(b, "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n", boundary);

    /* The best comes last, RFC 2046 section 5.1.4. */
    fn_message_part(b, boundary, "text/plain", m->text);
    fn_message_part(b, boundary, "text/html", m->html);
    fn_buf_addf(b, "--%s--\r\n", boundary);

    return b->failed ? -1 : 0;
}


int
fn_message_address_valid(const char *s)
{
    size_t       i, n, label;
    const char  *at;

    static const char  atext[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~.";
    static const char  ldh[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

    at = s != NULL ? strchr(s, '@') : NULL;

    if (at == NULL || strlen(s) > 254) {
        return 0;
    }

    n = (size_t) (at - s);

    if (n == 0 || n > 64 || strspn(s, atext) != n || s[0] == '.' || at[-1] == '.') {
        return 0;
    }

    for (i = 1; i < n; i++) {
        if (s[i] == '.' && s[i - 1] == '.') {
            return 0;
        }
    }

    s = at + 1;
    n = strlen(s);

    if (n == 0 || strspn(s, ldh) != n) {
        return 0;
    }

    for (i = 0, label = 0; i <= n; i++) {
        if (i < n && s[i] != '.') {
            label++;
            continue;
        }
        if (label == 0 || label > 63 || s[i - 1] == '-' || s[i - label] == '-') {
            return 0;
        }
        label = 0;
    }

    return 1;
}


void
fn_message_id(fn_buf_t *b, const char *id, const char *from)
{
    fn_buf_addf(b, "<%s@%s>", id, strchr(from, '@') + 1);
}


/* A name in ASCII is a quoted string, any other one encoded words. */
static void
fn_message_mailbox(fn_buf_t *b, const char *field, const char *name, const char *address)
{
    size_t    i, width;
    fn_buf_t  clean = FN_BUF_INIT;

    fn_buf_addf(b, "%s: ", field);

    if (name != NULL) {
        fn_clean_text(&clean, name, strlen(name), FN_NAME_MAX, 0);
    }

    for (i = 0, width = clean.len; i < clean.len; i++) {
        width += clean.data[i] == '"' || clean.data[i] == '\\';
    }

    if (clean.len > 0 && fn_message_plain(clean.data, clean.len) && width <= 60) {
        fn_buf_adds(b, "\"");
        for (i = 0; i < clean.len; i++) {
            if (clean.data[i] == '"' || clean.data[i] == '\\') {
                fn_buf_adds(b, "\\");
            }
            fn_buf_add(b, clean.data + i, 1);
        }
        fn_buf_adds(b, "\"\r\n ");

    } else if (clean.len > 0) {
        fn_message_words(b, clean.data, clean.len, strlen(field) + 2);
        fn_buf_adds(b, "\r\n ");
    }

    fn_buf_addf(b, "<%s>\r\n", address);
    b->failed |= clean.failed;
    fn_buf_free(&clean);
}


static void
fn_message_text_header(fn_buf_t *b, const char *field, const char *s, size_t max)
{
    fn_buf_t  clean = FN_BUF_INIT;

    fn_buf_addf(b, "%s: ", field);
    fn_clean_text(&clean, s, strlen(s), max, 0);

    if (clean.len > 0 && fn_message_plain(clean.data, clean.len) && clean.len + strlen(field) + 2 <= 76
        && clean.data[0] != ' ' && clean.data[clean.len - 1] != ' ')
    {
        fn_buf_add(b, clean.data, clean.len);
    } else if (clean.len > 0) {
        fn_message_words(b, clean.data, clean.len, strlen(field) + 2);
    }

    fn_buf_adds(b, "\r\n");
    b->failed |= clean.failed;
    fn_buf_free(&clean);
}


/* Printable ASCII that no reader takes for an encoded word. */
static int
fn_message_plain(const char *s, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if ((unsigned char) s[i] < 0x20 || (unsigned char) s[i] >= 0x7f || (s[i] == '=' && i + 1 < n && s[i + 1] == '?')) {
            return 0;
        }
    }

    return 1;
}


void
fn_message_words(fn_buf_t *b, const char *s, size_t n, size_t column)
{
    size_t         len, room;
    unsigned char  out[64];

    while (n > 0) {
        /* What fits beside the field's name, then 45 bytes a line; never within a character. */
        room = column < 60 ? (75 - 12 - column) / 4 * 3 : 0;
        room = room > FN_WORD_BYTES ? FN_WORD_BYTES : room < 8 ? 8 : room;
        len = n < room ? n : room;

        while (len < n && len > 1 && ((unsigned char) s[len] & 0xc0) == 0x80) {
            len--;
        }

        EVP_EncodeBlock(out, (const unsigned char *) s, (int) len);
        fn_buf_addf(b, "=?utf-8?B?%s?=", (const char *) out);

        s += len;
        n -= len;
        column = 1;

        if (n > 0) {
            fn_buf_adds(b, "\r\n ");
        }
    }
}


static void
fn_message_date(fn_buf_t *b, int64_t date_s)
{
    time_t     t = (time_t) date_s;
    struct tm  tm;

    static const char  days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char  months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

    if (gmtime_r(&t, &tm) == NULL) {
        b->failed = 1;
        return;
    }

    fn_buf_addf(b, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}


static void
fn_message_part(fn_buf_t *b, const char *boundary, const char *type, const char *s)
{
    fn_buf_addf(b, "--%s\r\nContent-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", boundary, type);
    fn_message_quoted(b, s, strlen(s));
    fn_buf_adds(b, "\r\n");
}


void
fn_message_quoted(fn_buf_t *b, const char *s, size_t n)
{
    int            plain, last;
    size_t         i, line;
    unsigned char  c;

    for (i = 0, line = 0; i < n; i++) {
        c = (unsigned char) s[i];

        if (c == '\r') {
            continue;
        }

        if (c == '\n') {
            fn_buf_adds(b, "\r\n");
            line = 0;
            continue;
        }

        last = i + 1 == n || s[i + 1] == '\n' || s[i + 1] == '\r';
        plain = c >= 0x21 && c <= 0x7e && c != '=';
        plain = plain || ((c == ' ' || c == '\t') && !last);

        /* A dot alone ends a mail, "From " a mailbox's: neither may begin a line. */
        if (line == 0 && (c == '.' || (c == 'F' && n - i >= 5 && memcmp(s + i, "From ", 5) == 0))) {
            plain = 0;
        }

        if (line + (plain ? 1 : 3) > FN_QP_LINE) {
            fn_buf_adds(b, "=\r\n");
            line = 0;
            plain = plain && c != '.' && c != 'F';
        }

        if (plain) {
            fn_buf_add(b, &c, 1);
            line++;
        } else {
            fn_buf_addf(b, "=%02X", c);
            line += 3;
        }
    }
}
