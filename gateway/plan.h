/* plan.h - settings, turned into what the parts are given. */
#ifndef PLAN_H
#define PLAN_H

#include <stdbool.h>

struct core_connector;
struct core_limits;
struct err;
struct gauged;
struct pub_config;
struct pub_host;
struct settings;
struct targets;
struct telemetry_config;

/* The connectors for the core, their targets and queues interned; *ret_unknown is what others get, where accept_unknown
 * is set.  *ret_list has s->n_connectors of them; the caller frees it.  0 or -1 (ERR_NOMEM, ERR_FULL). */
int plan_connectors(const struct settings *s, struct targets *targets, struct gauged *queues,
                    struct core_connector **ret_list, struct core_connector *ret_unknown, struct err *err);

/* What admission goes by.  false: nothing is measured. */
bool plan_limits(const struct settings *s, struct core_limits *ret);

/* What telemetry is told.  Borrows from s; *ret->urls is returned new, with its texts, and the caller frees it by
 * plan_urls_free.  -1: ERR_NOMEM. */
int plan_telemetry(const struct settings *s, struct telemetry_config *ret, struct err *err);
void plan_urls_free(const struct telemetry_config *config);

/* What publishers are told.  Borrows from s; *ret->hosts is returned new, and the caller frees it.  NULL: ERR_NOMEM. */
struct pub_host *plan_broker(const struct settings *s, struct pub_config *ret, struct err *err);

/* Can the gateway go from one to the other without a restart?  -1 (ERR_CONFIG): the text names the key that cannot. */
int plan_reloadable(const struct settings *from, const struct settings *to, struct err *err);

#endif
