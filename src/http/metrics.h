/* metrics.h: a snapshot as the text that Prometheus scrapes (text exposition format 0.0.4). Pure. */
#ifndef OUTBOXD_HTTP_METRICS_H
#define OUTBOXD_HTTP_METRICS_H

#include "http/snapshot.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* A time series each at most; the topics after these are added up under the topic "(other)", which no topic
 * can be called. Writers choose the names of topics, and a monitoring system pays for each. */
#define METRICS_TOPICS_MAX 1000

/* The text, for free(3), and its size. */
char *metrics_write(const struct snapshot *snapshot, size_t *size);

#endif
