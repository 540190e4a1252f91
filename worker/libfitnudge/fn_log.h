/* JSON log lines of the pool: {"time","level","msg","request_id",...}. One write(2) a line. Personal text never belongs in a field. */
#ifndef FN_LOG_H
#define FN_LOG_H

typedef enum { FN_LOG_DEBUG, FN_LOG_INFO, FN_LOG_WARN, FN_LOG_ERROR } fn_log_e;

/* "stderr" or a path (opened for append; call again to reopen). 0 or -1 with errno. */
int  fn_log_open(const char *target, fn_log_e least);

/* Key and value pairs, ended by NULL: fn_log(FN_LOG_INFO, "job done", "job", name, "request_id", rid, NULL). A NULL value is skipped... as is its key. */
void fn_log(fn_log_e level, const char *msg, ...) __attribute__((sentinel));

#endif
