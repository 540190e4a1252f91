/* What is behind fn_cache_t (steps.h): the executor's own connection, between its other commands. */
#ifndef FN_CACHE_H
#define FN_CACHE_H

#include "redis.h"
#include "steps.h"

struct fn_cache_s {
    fn_redis_t  *redis;
};

#endif
