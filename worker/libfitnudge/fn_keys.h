/* Names of every Redis key, in one place (see docs/pool.md). One hash tag, so that the scripts work on a cluster too. */
#ifndef FN_KEYS_H
#define FN_KEYS_H

#define FN_K              "{fn}:"
#define FN_K_QUEUE        FN_K "q:%s:%c"          /* lane, h|n|l: LIST of envelopes; LPUSH left, take right */
#define FN_K_SLOT         FN_K "s:%s:%u"          /* instance, slot number: LIST, jobs in one executor's hands */
#define FN_K_INSTANCES    FN_K "insts"            /* ZSET instance -> last heartbeat, ms of Redis TIME */
#define FN_K_SLOTS        FN_K "slots:%s"         /* SET of an instance's slot keys */
#define FN_K_GRAVE        FN_K "grave"            /* ZSET dead instance -> when, ms */
#define FN_K_DELAYED      FN_K "z:%s"             /* ZSET of a lane's delayed envelopes, score = due ms */
#define FN_K_DEAD         FN_K "dead:%s"          /* ZSET of a lane's dead letters, score = died ms */
#define FN_K_REPLY        FN_K "r:%s"             /* LIST of replies for one nginx worker process */
#define FN_K_CRASH        FN_K "crash:%s"         /* times a job took its process down */
#define FN_K_CRASHED      FN_K "crashed"          /* set for a day when any job has such a count */
#define FN_K_JOB          FN_K "j:%s"             /* STRING "<state> <user>" for jobs answered with 202 */
#define FN_K_ORDERS       FN_K "cfg:%s"           /* lane: HASH paused_until, limit, rate, burst, stop_enqueue; tat: what the rate has used */
#define FN_ORDERS_TAG     "orders"               /* on the change channel: stop_enqueue of a lane has changed */
#define FN_K_IN_WORK      FN_K "run:%s"           /* lane: ZSET job id -> ms when it is forgotten; only while the lane has a limit */
#define FN_K_CANCELLED    FN_K "cancelled"        /* SET of job ids that are to end; a day */
#define FN_K_LEAD         FN_K "lead"
#define FN_K_EPOCH        FN_K "epoch"
#define FN_K_CHANGES      FN_K "changes"          /* channel: space-separated tags */
#define FN_K_GENERATION   FN_K "gen:%s"           /* tag: times it was bumped; with fitnudge_cache_redis */
#define FN_K_GENERATIONS  FN_K "gen"              /* bumped by each subscription: what was missed is unknown */
#define FN_K_RESPONSE     "api:response:%s:%s"    /* path of the route, SHA-256 of what was asked: "<generations>\n<body>" */
#define FN_K_REVOKED      FN_K "revoked"          /* ZSET what is revoked (fn_revoked.h) -> unix s until which it must be remembered */
#define FN_K_LIMIT        FN_K "l:%s:%08xD%016xL"  /* class, 96 bits of a keyed hash (ngx_snprintf): backlog or cells of a limit */
#define FN_K_MAINTENANCE  FN_K "maintenance"      /* STRING, fn_maintenance.h; ends with maintenance mode */
#define FN_K_BREAKER      FN_K "cb:%s"            /* service: STRING "open|closed <until ms> <stamp ms> <who>" */
#define FN_K_SERVICES     FN_K "services:%s"      /* instance: HASH service -> state of its breaker, for people */
#define FN_K_AI_MESSAGE   "ai:message:%s"         /* prompt hash, hex */

#endif
