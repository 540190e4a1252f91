/* Clocks and RFC 3339 times. */
#ifndef FN_TIME_H
#define FN_TIME_H

#include <stddef.h>
#include <stdint.h>

uint64_t fn_now_ms(void);           /* wall clock, ms since 1970 UTC */
uint64_t fn_mono_ms(void);          /* monotonic ms, for intervals */

#define FN_RFC3339_LEN  20
/* "2026-01-15T10:30:00Z" and a NUL. */
void fn_rfc3339(char out[FN_RFC3339_LEN + 1], int64_t unix_s);

/*
 * Reads an RFC 3339 time ("2026-01-15T10:30:00Z", "...10:30:00.5+02:00"; fractions are dropped, a leap second counts as the
 * one before). 0, or -1: it is none.
 */
int  fn_rfc3339_parse(int64_t *unix_s, const char *s, size_t len);

/* 1 when s is a real calendar date YYYY-MM-DD from 1900-01-01 to 2199-12-31. */
int  fn_date_valid(const char *s, size_t len);

/* Parses "500ms", "15s", "10m", "24h", "7d" or a bare number of seconds. Result in ms, or -1. */
int64_t fn_parse_duration_ms(const char *s);
/* Parses "64k", "8m", "1g" or bytes. Result in bytes, or -1. */
int64_t fn_parse_size(const char *s);

#endif
