#include "ngx_fitnudge_metrics.h"


static uint64_t  ngx_fitnudge_metrics_own[NGX_FITNUDGE_M_N];

uint64_t  *ngx_fitnudge_counters = ngx_fitnudge_metrics_own;
