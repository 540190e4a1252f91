/* The scoreboard: what master, manager and children know of each other, in memory they share. */
#ifndef FN_SCOREBOARD_H
#define FN_SCOREBOARD_H

#include "pool.h"

extern const char *const  fn_role_names[FN_ROLES];      /* "manager", "sql", "auth", "net"; the last three are lanes */

/* Shared, zeroed; the instance's name is set. NULL = no memory. */
fn_scoreboard_t *fn_scoreboard_create(void);

/* A free entry, made LIVE but without a pid; NULL when there is none (many dead ones wait for Redis to come back). */
fn_entry_t *fn_scoreboard_claim(fn_scoreboard_t *b, fn_role_e role, unsigned number, unsigned generation, unsigned nslots);

fn_entry_t *fn_scoreboard_find(fn_scoreboard_t *b, pid_t pid);

/* Age in ms of the oldest job that waits in the role's lane; 0 = none, or nobody has looked lately. */
uint64_t fn_scoreboard_oldest(const fn_scoreboard_t *b, fn_role_e role, uint64_t now);

/* Living children of the role and number (any number: -1) that are not draining and of the generation. */
fn_entry_t *fn_scoreboard_current(fn_scoreboard_t *b, fn_role_e role, int number, unsigned generation);

#endif
