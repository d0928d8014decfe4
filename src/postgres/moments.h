/* moments.h: SQL for times and ages, as the commands show them. Private to src/postgres. */
#ifndef OUTBOXD_POSTGRES_MOMENTS_H
#define OUTBOXD_POSTGRES_MOMENTS_H

#define SQL_MICROSECONDS(interval) "(extract(epoch from " interval ") * 1000000)::bigint"
#define SQL_AGE(moment) SQL_MICROSECONDS("clock_timestamp() - " moment)

/* ISO 8601. */
#define SQL_UTC(moment) "to_char(" moment " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

#endif
