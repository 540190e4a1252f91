/* The route table: matching, its agreement with the job table, the OpenAPI document. */
#include "unit.h"

#include <yajl/yajl_tree.h>

#include "fn_cache_store.h"
#include "fn_jobs.h"
#include "fn_routes.h"


START_TEST(test_match)
{
    fn_route_match_t  m;

    fn_route_match(&m, FN_GET, "/api/v1/goals", 13);
    ck_assert(m.route && m.route->kind == FN_READ && m.allowed == (1u << FN_GET | 1u << FN_POST));

    fn_route_match(&m, FN_POST, "/api/v1/goals/x/checkins", 24);
    ck_assert(m.route && strcmp(m.route->function, "checkins.create") == 0);
    ck_assert(m.nparams == 1 && span_is(&m.params[0], "x"));

    /* a suffix belongs to the row, not to the parameter */
    fn_route_match(&m, FN_GET, "/api/v1/e/o/x.gif", 17);
    ck_assert(m.route && m.nparams == 1 && span_is(&m.params[0], "x"));
    fn_route_match(&m, FN_GET, "/api/v1/e/o/x.gif.gif", 21);
    ck_assert(m.route && span_is(&m.params[0], "x.gif"));
    fn_route_match(&m, FN_GET, "/api/v1/e/o/.gif", 16);
    ck_assert(m.route == NULL && m.allowed == 0);
    fn_route_match(&m, FN_GET, "/api/v1/e/o/x.gi", 16);
    ck_assert(m.route == NULL && m.allowed == 0);
    fn_route_match(&m, FN_GET, "/api/v1/e/o/x.gif/y", 19);
    ck_assert(m.route == NULL && m.allowed == 0);

    /* a path that is written out comes before one with a parameter, in any order of rows */
    fn_route_match(&m, FN_DELETE, "/api/v1/media/uploads", 21);
    ck_assert(m.route == NULL && m.allowed == 1u << FN_POST);
    fn_route_match(&m, FN_DELETE, "/api/v1/media/upload", 20);
    ck_assert(m.route && m.nparams == 1);

    fn_route_match(&m, FN_PUT, "/api/v1/goals", 13);
    ck_assert(m.route == NULL && m.allowed != 0);

    fn_route_match(&m, FN_METHODS, "/health", 7);
    ck_assert(m.route == NULL && m.allowed == 1u << FN_GET);

    fn_route_match(&m, FN_GET, "/api/v1/goals/", 14);
    ck_assert(m.route == NULL && m.allowed == 0);
    fn_route_match(&m, FN_GET, "/api/v1/goals//stats", 20);
    ck_assert(m.route == NULL && m.allowed == 0);
    fn_route_match(&m, FN_GET, "/api/v1/goal", 12);
    ck_assert(m.route == NULL && m.allowed == 0);
    fn_route_match(&m, FN_GET, "", 0);
    ck_assert(m.route == NULL && m.allowed == 0);
}
END_TEST


static unsigned
tags(const fn_route_t *r)
{
    unsigned     n;
    const char  *p;

    for (n = 0, p = r->cache.tags; p != NULL && *(p += strspn(p, " ")) != '\0'; p += strcspn(p, " ")) {
        n++;
    }

    return n;
}


START_TEST(test_table)
{
    size_t             n;
    const char        *p;
    const fn_field_t  *f;
    const fn_route_t  *r;

    for (r = fn_routes; r->path != NULL; r++) {
        ck_assert_msg(r->path[0] == '/' && r->function && r->summary && r->tag, "%s", r->path);
        ck_assert_msg(r->kind != FN_WRITE || fn_job_find(r->function, strlen(r->function)) != NULL, "no job %s", r->function);
        ck_assert_msg(r->kind == FN_WRITE || r->body == NULL, "%s: a body on a read", r->path);

        /* by its tags it is known when a user must not be sent to a replica */
        ck_assert_msg(tags(r) <= FN_CACHE_TAGS, "%s has more tags than an entry of the cache", r->path);
        ck_assert_msg(!(r->flags & FN_R_REPLICA)
                      || (r->kind == FN_READ && r->cache.tags != NULL && !(r->flags & FN_R_SLOW)), "%s: replica", r->path);
        ck_assert_msg(!(r->flags & FN_R_SEALED) || (r->kind == FN_WRITE && r->who == FN_ANYONE && r->body == NULL), "%s: sealed", r->path);
        ck_assert_msg(!(r->flags & FN_R_PAGE) || r->kind != FN_READ, "%s: page", r->path);
        ck_assert_msg(!(r->flags & FN_R_SLOW) || r->kind == FN_READ, "%s: slow", r->path);

        /* each {name} of the path is the next path parameter */
        for (p = r->path, f = r->params; (p = strchr(p, '{')) != NULL; p++, f++) {
            n = strcspn(p + 1, "}");
            ck_assert_msg(f != NULL && f->name != NULL && (f->flags & FN_F_PATH) && strlen(f->name) == n
                          && memcmp(f->name, p + 1, n) == 0, "%s: path parameters", r->path);
        }
        ck_assert_msg(f == NULL || f->name == NULL || !(f->flags & FN_F_PATH), "%s: too many path parameters", r->path);
    }
}
END_TEST


START_TEST(test_tags)
{
    int          n;
    char         tag[FN_TAG_MAX], large[FN_TAG_MAX + 1];
    const char  *tags, *values[2] = { "7", NULL };

    static const fn_field_t  params[] = {
        { "id", FN_T_UUID, FN_F_PATH|FN_F_REQUIRED, 0, 0, NULL, NULL, NULL },
        { "page", FN_T_INT, 0, 1, 100, NULL, NULL, NULL },
        { NULL, 0, 0, 0, 0, NULL, NULL, NULL }
    };
    static const fn_route_t  route = { .params = params };

    tags = " posts  users:{id} a@:{id}";
    n = fn_route_tag(&route, &tags, "me", values, tag);
    ck_assert(n == 5 && memcmp(tag, "posts", 5) == 0);
    n = fn_route_tag(&route, &tags, "me", values, tag);
    ck_assert(n == 7 && memcmp(tag, "users:7", 7) == 0);
    n = fn_route_tag(&route, &tags, "me", values, tag);
    ck_assert(n == 5 && memcmp(tag, "ame:7", 5) == 0);
    ck_assert_int_eq(fn_route_tag(&route, &tags, "me", values, tag), 0);

    tags = "goals:@";
    ck_assert_int_eq(fn_route_tag(&route, &tags, NULL, values, tag), -1);
    tags = "p:{page}";
    ck_assert_int_eq(fn_route_tag(&route, &tags, "me", values, tag), -1);
    tags = "p:{nothing}";
    ck_assert_int_eq(fn_route_tag(&route, &tags, "me", values, tag), -1);
    tags = "p:{id";
    ck_assert_int_eq(fn_route_tag(&route, &tags, "me", values, tag), -1);

    memset(large, 'x', FN_TAG_MAX);
    large[FN_TAG_MAX] = '\0';
    tags = "@";
    ck_assert_int_eq(fn_route_tag(&route, &tags, large, values, tag), FN_TAG_MAX);
    tags = "a@";
    ck_assert_int_eq(fn_route_tag(&route, &tags, large, values, tag), -1);

    /* a tag that lags has the same name */
    tags = " ~feed post:@";
    ck_assert_int_eq(fn_route_tag_lags(tags), 1);
    n = fn_route_tag(&route, &tags, "me", values, tag);
    ck_assert_int_eq(n, 4);
    ck_assert_mem_eq(tag, "feed", 4);
    ck_assert_int_eq(fn_route_tag_lags(tags), 0);
}
END_TEST


START_TEST(test_openapi)
{
    char               err[256];
    fn_buf_t           b = FN_BUF_INIT;
    yajl_val           doc, paths, path;
    const fn_route_t  *r;

    ck_assert_int_eq(fn_openapi_write(&b), 0);
    doc = yajl_tree_parse(b.data, err, sizeof(err));
    ck_assert_msg(doc != NULL, "%s", err);

    paths = yajl_tree_get(doc, (const char *[]) { "paths", NULL }, yajl_t_object);
    ck_assert_ptr_nonnull(paths);
    for (r = fn_routes; r->path != NULL; r++) {
        path = yajl_tree_get(paths, (const char *[]) { r->path, NULL }, yajl_t_object);
        ck_assert_msg(path != NULL, "%s is missing", r->path);
    }
    yajl_tree_free(doc);
    fn_buf_free(&b);
}
END_TEST


UNIT_MAIN("routes", test_match, test_table, test_tags, test_openapi)
