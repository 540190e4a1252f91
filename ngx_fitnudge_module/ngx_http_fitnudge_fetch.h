/*
 * A request of the module's own to a location of a server: what proxy_pass, its TLS, resolver and timeouts are configured for
 * serves the module as well.  No client takes part, so none can abort it or be held up by it.
 */
#ifndef NGX_HTTP_FITNUDGE_FETCH_H
#define NGX_HTTP_FITNUDGE_FETCH_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

typedef struct ngx_http_fitnudge_fetch_s  ngx_http_fitnudge_fetch_t;

/*
 * Once: status of the answer and its body, valid during the call; or status 0, with a static text of what went wrong in
 * body. Called from the event loop, never from within ngx_http_fitnudge_fetch() or a request.
 */
typedef void (*ngx_http_fitnudge_fetch_pt)(void *data, ngx_uint_t status, const ngx_str_t *body);

/*
 * GETs `uri` (which has to live until then) in the server of `conf_ctx`, without any header of a client. The location's
 * subrequest_output_buffer_size bounds the body. timeout: of the whole, ms; it holds a worker that shuts down.
 * NGX_ERROR: nothing was begun, done() is not called.
 */
ngx_int_t ngx_http_fitnudge_fetch(ngx_http_conf_ctx_t *conf_ctx, ngx_str_t *uri, ngx_msec_t timeout,
    ngx_http_fitnudge_fetch_pt done, void *data);

#endif
