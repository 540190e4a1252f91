/* Maintenance mode, for those who have to know: the change channel, and health. */
#ifndef NGX_HTTP_FITNUDGE_MAINTENANCE_H
#define NGX_HTTP_FITNUDGE_MAINTENANCE_H

#include "ngx_http_fitnudge.h"
#include "../worker/libfitnudge/fn_maintenance.h"

/* The state in Redis is another one, or may be: it is read again at once, or as soon as Redis is there. */
void ngx_fitnudge_maintenance_changed(void);

/* Reads it if that is due; for whenever the command connection is ready. timeout: of the answer, ms. */
void ngx_fitnudge_maintenance_load(ngx_msec_t timeout);

/* 1: the request's location is in maintenance mode now, for whoever may not pass; *m says since when, and why. */
ngx_uint_t ngx_http_fitnudge_maintenance(ngx_http_request_t *r, fn_maintenance_t *m);

#endif
