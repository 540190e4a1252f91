/* Envelopes: what parses is written and parsed again to the same. */
#include <stdlib.h>
#include <string.h>

#include "fn_envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fn_buf_t        b = FN_BUF_INIT;
    fn_job_env_t    job, job2;
    fn_reply_env_t  reply, reply2;

    if (fn_job_env_parse(&job, (const char *) data, size) == 0) {
        if (fn_job_env_format(&b, &job) != 0 || fn_job_env_parse(&job2, b.data, b.len) != 0
            || job2.attempt != job.attempt || job2.body.n != job.body.n)
        {
            abort();
        }
    }

    fn_buf_reset(&b);

    if (fn_reply_env_parse(&reply, (const char *) data, size) == 0) {
        if (fn_reply_env_format(&b, &reply) != 0 || fn_reply_env_parse(&reply2, b.data, b.len) != 0
            || reply2.ntags != reply.ntags || reply2.body.n != reply.body.n)
        {
            abort();
        }
    }

    fn_buf_free(&b);

    return 0;
}
