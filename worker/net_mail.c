/*
 * Mails are not idempotent. When all of one was sent and the connection is lost before the server's reply, nobody can know whether
 * it was taken (RFC 5321 section 4.2.5: the reply is what hands over responsibility). It is sent once more, under the same Message-ID, and
 * then it counts as sent, perhaps: twice is a nuisance, thirteen times is a reason to be called a spammer.
 *
 * How often that has happened is the first member of the call's context, "unanswered", so that it outlives the process and the
 * commit is told. A crash counts too: who died may have sent it just before.
 */
#include <stdlib.h>
#include <string.h>

#include "libfitnudge/fn_log.h"
#include "net.h"

static const char  net_member[] = "{\"unanswered\":";


int
fn_net_sent(const fn_net_exchange_t *x)
{
    return x->method == FN_METHOD_MAIL && x->sent.len > 0 && x->sent_at == x->sent.len;
}


unsigned
fn_net_marked(fn_span_t ctx)
{
    size_t  n;

    n = sizeof(net_member) - 1;

    return ctx.n > n && memcmp(ctx.p, net_member, n) == 0 ? (unsigned) (ctx.p[n] - '0') : 0;
}


void
fn_net_mark(fn_net_exchange_t *x, unsigned unanswered)
{
    size_t    known;
    fn_buf_t  ctx = FN_BUF_INIT, body = FN_BUF_INIT;

    known = fn_net_marked(x->ctx) > 0 ? sizeof(net_member) : 1;
    x->unanswered = unanswered < FN_NET_MAIL_MAX ? unanswered : FN_NET_MAIL_MAX;

    fn_buf_addf(&ctx, "%s%u%s", net_member, x->unanswered, known == 1 && x->ctx.n > 2 ? "," : "");
    fn_buf_add(&ctx, x->ctx.p + known, x->ctx.n - known);
    fn_step_body_format(&body, x->req.p, x->req.n, ctx.data, ctx.len);

    if (ctx.failed || body.failed || fn_step_body_parse(body.data, body.len, &x->req, &x->ctx) != 0) {
        fn_log(FN_LOG_ERROR, "no memory for jobs", NULL);
        abort();                    /* what was taken is reaped, and counts as sent then */
    }

    fn_buf_free(&ctx);
    fn_buf_free(&x->marked);
    x->marked = body;
    x->task.env.body.p = body.data;
    x->task.env.body.n = body.len;
    x->call.ctx = x->ctx.p;
    x->call.ctx_len = x->ctx.n;
}
