/* Configuration of the headers module: read by its one file, used by the other. */
#ifndef NGX_HTTP_FITNUDGE_HEADERS_H
#define NGX_HTTP_FITNUDGE_HEADERS_H

#include "ngx_http_fitnudge.h"

typedef struct {
    ngx_array_t        *origins;        /* of ngx_str_t; NULL: no CORS */
    time_t              max_age;        /* s */
    ngx_str_t           max_age_text;

    ngx_flag_t          security;
    time_t              hsts;           /* s */
    ngx_str_t           hsts_text;

    /* header values; no data: not sent */
    ngx_str_t           deprecation;
    ngx_str_t           sunset;
    ngx_str_t           link;
    unsigned            deprecated_set:1;
} ngx_http_fitnudge_headers_conf_t;

extern ngx_command_t  ngx_http_fitnudge_headers_commands[];

void *ngx_http_fitnudge_headers_create_conf(ngx_conf_t *cf);
char *ngx_http_fitnudge_headers_merge_conf(ngx_conf_t *cf, void *parent, void *child);

#endif
