#include <string.h>

#include "fn_access.h"


static int
fn_access_listed(const char *value, const char *const *list)
{
    for ( /* void */ ; *list != NULL; list++) {
        if (strcmp(value, *list) == 0) {
            return 1;
        }
    }

    return 0;
}


const char *
fn_access_refused(fn_who_e who, const fn_jwt_claims_t *claims)
{
    static const char *const  plans[] = { "pro", "elite", NULL };
    static const char *const  staff[] = { "admin", "support", "super_admin", NULL };

    switch (who) {

    case FN_ANYONE:
        return NULL;

    case FN_USER:
        return claims->sub[0] != '\0' ? NULL : "role";

    case FN_PAID:
        return fn_access_listed(claims->plan, plans) ? NULL : "plan";

    case FN_STAFF:
        return fn_access_listed(claims->role, staff) ? NULL : "role";
    }

    return "role";      /* unknown is refused */
}
