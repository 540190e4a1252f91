/* The scoreboard. Each field has one writer: the master, but for DIED -> FREE (manager) and the counters (the child). */
#include "scoreboard.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libfitnudge/fn_time.h"

#define FN_LOOKED_MS  5000      /* what the manager saw longer ago is not believed */

const char *const  fn_role_names[FN_ROLES] = { "manager", "sql", "auth", "net" };


fn_scoreboard_t *
fn_scoreboard_create(void)
{
    char             *p, host[48];
    fn_scoreboard_t  *b;

    _Static_assert(FN_ROLES == FN_LANES + 1, "a lane for each role but the manager's");

    b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (b == MAP_FAILED) {
        return NULL;
    }

    if (fn_services_init(b->service) != 0) {
        (void) munmap(b, sizeof(*b));
        return NULL;
    }

    b->started_s = fn_now_ms() / 1000;
    b->looked_ms = fn_mono_ms();
    b->beat_ms = fn_mono_ms();

    if (gethostname(host, sizeof(host)) != 0) {
        host[0] = '\0';
    }

    host[sizeof(host) - 1] = '\0';

    (void) snprintf(b->inst, sizeof(b->inst), "%s:%ld:%llu", host[0] ? host : "localhost", (long) getpid(),
                    (unsigned long long) fn_now_ms());

    for (p = b->inst; *p != '\0'; p++) {
        if (!isalnum((unsigned char) *p) && strchr("._:-", *p) == NULL) {
            *p = '_';
        }
    }

    return b;
}


fn_entry_t *
fn_scoreboard_claim(fn_scoreboard_t *b, fn_role_e role, unsigned number, unsigned generation, unsigned nslots)
{
    unsigned     i;
    fn_entry_t  *e;

    for (i = 0; i < FN_CHILDREN_MAX; i++) {
        e = &b->child[i];

        if (e->state != FN_ENTRY_FREE) {
            continue;
        }

        memset(e, 0, sizeof(*e));
        e->role = (int) role;
        e->number = number;
        e->generation = generation;
        e->nslots = nslots;
        e->started_ms = fn_mono_ms();
        e->beat_ms = e->started_ms;
        e->taken_ms = e->started_ms;
        e->state = FN_ENTRY_LIVE;

        return e;
    }

    return NULL;
}


fn_entry_t *
fn_scoreboard_find(fn_scoreboard_t *b, pid_t pid)
{
    unsigned  i;

    for (i = 0; i < FN_CHILDREN_MAX; i++) {
        if (b->child[i].state == FN_ENTRY_LIVE && b->child[i].pid == pid) {
            return &b->child[i];
        }
    }

    return NULL;
}


fn_entry_t *
fn_scoreboard_current(fn_scoreboard_t *b, fn_role_e role, int number, unsigned generation)
{
    unsigned     i;
    fn_entry_t  *e;

    for (i = 0; i < FN_CHILDREN_MAX; i++) {
        e = &b->child[i];

        if (e->state == FN_ENTRY_LIVE && !e->draining && e->role == (int) role && e->generation == generation
            && (number < 0 || e->number == (unsigned) number))
        {
            return e;
        }
    }

    return NULL;
}


uint64_t
fn_scoreboard_oldest(const fn_scoreboard_t *b, fn_role_e role, uint64_t now)
{
    unsigned          i;
    uint64_t          oldest;
    const fn_lane_t  *lane;

    if (role == FN_ROLE_MANAGER || now > b->looked_ms + FN_LOOKED_MS) {
        return 0;
    }

    lane = &b->lane[role - 1];

    for (i = 0, oldest = 0; i < 3; i++) {
        oldest = lane->oldest_ms[i] > oldest ? lane->oldest_ms[i] : oldest;
    }

    return oldest;
}
