/* Who may call a route, by the claims of an accepted token. Pure; the rows of the route table say which rule. */
#ifndef FN_ACCESS_H
#define FN_ACCESS_H

#include "fn_routes.h"
#include "../worker/libfitnudge/fn_jwt.h"

/* NULL: may; else the constraint that is not met, "plan" or "role". FN_ANYONE needs no claims. */
const char *fn_access_refused(fn_who_e who, const fn_jwt_claims_t *claims);

#endif
