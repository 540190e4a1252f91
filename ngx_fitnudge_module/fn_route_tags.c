/* The cache tags of a route, with the caller and the parameters filled in. */
#include <string.h>

#include "fn_routes.h"


static const char *
fn_route_param(const fn_route_t *route, const char *name, size_t n, const char *const *values)
{
    unsigned           i;
    const fn_field_t  *f = route->params;

    for (i = 0; f != NULL && f[i].name != NULL; i++) {
        if (strlen(f[i].name) == n && memcmp(f[i].name, name, n) == 0) {
            return values[i];
        }
    }

    return NULL;
}


int
fn_route_tag(const fn_route_t *route, const char **tags, const char *user, const char *const *values, char tag[FN_TAG_MAX])
{
    size_t       n, len, at = 0;
    const char  *s, *text;

    for (s = *tags; *s == ' ' || *s == '~'; s++) { /* void */ }

    for ( /* void */ ; *s != '\0' && *s != ' '; s += n) {
        text = s;
        for (n = 1; s[n] != '\0' && s[n] != ' ' && s[n] != '@' && s[n] != '{'; n++) { /* void */ }
        len = n;

        if (*s == '@') {
            n = 1;
            text = user;

        } else if (*s == '{') {
            n = strcspn(s, "}");
            text = s[n] == '}' ? fn_route_param(route, s + 1, n - 1, values) : NULL;
            n++;
        }

        if (text == NULL) {
            return -1;
        }

        if (text != s) {
            len = strlen(text);
        }

        if (len > FN_TAG_MAX - at) {
            return -1;
        }

        memcpy(tag + at, text, len);
        at += len;
    }

    *tags = s;

    return (int) at;
}


int
fn_route_tag_lags(const char *tags)
{
    while (*tags == ' ') {
        tags++;
    }

    return *tags == '~';
}
