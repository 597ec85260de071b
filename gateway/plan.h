/* plan.h - settings, turned into what the parts are given. */
#ifndef PLAN_H
#define PLAN_H

struct core_connector;
struct err;
struct pub_config;
struct pub_host;
struct settings;
struct targets;

/* The connectors for the core, their targets interned; *ret_unknown is what others get, where accept_unknown is set.
 * *ret_list has s->n_connectors of them; the caller frees it.  0 or -1 (ERR_NOMEM, ERR_FULL). */
int plan_connectors(const struct settings *s, struct targets *targets, struct core_connector **ret_list,
                    struct core_connector *ret_unknown, struct err *err);

/* What publishers are told.  Borrows from s; *ret->hosts is returned new, and the caller frees it.  NULL: ERR_NOMEM. */
struct pub_host *plan_broker(const struct settings *s, struct pub_config *ret, struct err *err);

/* Can the gateway go from one to the other without a restart?  -1 (ERR_CONFIG): the text names the key that cannot. */
int plan_reloadable(const struct settings *from, const struct settings *to, struct err *err);

#endif
