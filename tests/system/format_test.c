/* format_test.c - bundles as messages of OpenCTI's, through the real gateway and a real RabbitMQ: what a worker of the
 * platform finds in its queue, and what the connector is told. */
#include "must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "clock.h"
#include "consumer.h"
#include "feed.h"
#include "sluiced.h"
#include "stage.h"
#include "stix.h"
#include "worker.h"
#include "world.h"

enum { IDLE_MS = 200,
       WAIT_MS = 60 * 1000,
       RUN_MS = 60 * 1000,
       OUT = 16 * 1024,
       MANY = 4000 };

#define IDENTITY "{\"type\":\"identity\",\"id\":\"identity--1\",\"name\":\"somebody\"}"
#define BUNDLE(objects) "{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":[" objects "]}"

#define CONNECTORS                                                                              \
    "connectors = ("                                                                            \
    " { id = \"attack\"; format = \"opencti\"; declare = true; applicant_id = \"somebody\"; }," \
    " { id = \"bad\"; format = \"opencti\"; declare = true; },"                                 \
    " { id = \"large\"; format = \"opencti\"; declare = true; },"                               \
    " { id = \"skip\"; format = \"opencti\"; declare = true; too_large = \"skip\"; },"          \
    " { id = \"plain\"; queue = \"plain\"; declare = true; },"                                  \
    " { id = \"cisa-kev\"; queue = \"kev\"; declare = true; } );"

static const struct sluiced_config ANY_ID = {.rest = CONNECTORS};

static uint64_t
drain(const struct stage *s, const char *queue, worker_take *take, void *ctx)
{
    return worker_drain(world_broker_port(s->world), queue, UINT64_MAX, IDLE_MS, take, ctx);
}

static const char *
text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int64_t
number_of(const json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}

static void
acked(struct answer a)
{
    if (a.kind != SLUICE_ACKED)
        fail_msg("refused: %s: %s", a.reason, a.text);
}

static void
nacked(struct answer a, const char *reason, const char *must_say)
{
    assert_int_equal(a.kind, SLUICE_NACKED);
    assert_string_equal(a.reason, reason);
    if (strstr(a.text, must_say) == NULL)
        fail_msg("it is told '%s', which does not say '%s'", a.text, must_say);
}

/* --- A worker's view of real data --------------------------------------------------------------------------------- */

struct attack {
    json_t *bundle;  /* as it was pushed */
    json_t *objects; /* its objects by id */
    json_t *came;    /* ids of those that came */
    size_t messages;
};

/* Of the types in this file, OpenCTI has no place for these. */
static bool
has_place(const char *id)
{
    static const char *const none[] = {"x-mitre-detection-strategy--", "x-mitre-analytic--", "x-mitre-asset--",
                                       "x-mitre-tactic--", "x-mitre-collection--", "x-mitre-matrix--"};

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (strncmp(id, none[i], strlen(none[i])) == 0)
            return false;
    return true;
}

static bool
ends(const char *key, const char *with)
{
    const size_t n = strlen(key), m = strlen(with);

    return n > m && strcmp(key + n - m, with) == 0;
}

/* Does one object name the other, in one step?  Then they may be a ring, which is cut somewhere. */
static bool
refers(json_t *from, const char *id)
{
    for (void *it = json_object_iter(from); it != NULL; it = json_object_iter_next(from, it)) {
        const char *key = json_object_iter_key(it);
        const json_t *value = json_object_iter_value(it);

        if (ends(key, "_ref") && json_is_string(value) && strcmp(json_string_value(value), id) == 0)
            return true;
        for (size_t i = 0; ends(key, "_refs") && i < json_array_size(value); i++)
            if (strcmp(json_string_value(json_array_get(value, i)), id) == 0)
                return true;
    }
    return false;
}

/* May a reference of this object be dropped? */
static bool
may_go(const struct attack *a, const char *from, const char *to)
{
    return !has_place(to) || strcmp(from, to) == 0 || refers(json_object_get(a->objects, to), from);
}

/* A list of references: what stayed is the same, in order; what went could go; what stayed came before. */
static void
assert_refs(const struct attack *a, const char *from, const json_t *was, const json_t *is)
{
    size_t at = 0;

    for (size_t i = 0; i < json_array_size(was); i++) {
        const char *to = json_string_value(json_array_get(was, i));

        if (at < json_array_size(is) && strcmp(json_string_value(json_array_get(is, at)), to) == 0) {
            if (json_object_get(a->objects, to) != NULL && json_object_get(a->came, to) == NULL)
                fail_msg("%s came before %s, which it refers to", from, to);
            at++;
        } else if (!may_go(a, from, to)) {
            fail_msg("%s lost its reference to %s", from, to);
        }
    }
    assert_int_equal(at, json_array_size(is));
}

static void
assert_ref(const struct attack *a, const char *from, const json_t *was, const json_t *is)
{
    json_t *one = json_pack("[O]", was), *same = json_is_null(is) ? json_array() : json_pack("[O]", is);

    assert_refs(a, from, one, same);
    json_decref(one);
    json_decref(same);
}

/* Told by url, else by source and id; for kill chain phases by both names.  "" for what is dropped. */
static void
name_of(const json_t *v, char *name, size_t cap)
{
    const char *phase = text_of(v, "phase_name"), *url = text_of(v, "url"), *id = text_of(v, "external_id");

    name[0] = '\0';
    if (phase != NULL)
        (void)snprintf(name, cap, "%s\n%s", text_of(v, "kill_chain_name"), phase);
    else if (url != NULL)
        (void)snprintf(name, cap, "%s", url);
    else if (id != NULL)
        (void)snprintf(name, cap, "%s\n%s", text_of(v, "source_name"), id);
}

/* The list without what it has twice. */
static void
assert_each_once(const json_t *was, const json_t *is)
{
    json_t *seen = json_object();
    size_t at = 0;

    for (size_t i = 0; i < json_array_size(was); i++) {
        char name[2000];

        name_of(json_array_get(was, i), name, sizeof(name));
        if (name[0] == '\0' || json_object_get(seen, name) != NULL)
            continue;
        json_object_set_new(seen, name, json_true());
        assert_true(json_equal(json_array_get(was, i), json_array_get(is, at++)));
    }
    assert_int_equal(at, json_array_size(is));
    json_decref(seen);
}

static void
assert_member(const struct attack *a, const char *id, const char *key, const json_t *was, const json_t *is)
{
    if (is == NULL)
        fail_msg("%s came without %s", id, key);
    if (ends(key, "_refs"))
        assert_refs(a, id, was, is);
    else if (ends(key, "_ref"))
        assert_ref(a, id, was, is);
    else if (strcmp(key, "external_references") == 0 || strcmp(key, "kill_chain_phases") == 0)
        assert_each_once(was, is);
    else if (!json_equal(was, is))
        fail_msg("%s came with another %s", id, key);
}

static void
assert_object(struct attack *a, json_t *is)
{
    const char *id = text_of(is, "id");
    json_t *was = json_object_get(a->objects, id);

    assert_non_null(was);
    assert_null(json_object_get(a->came, id));
    assert_true(number_of(is, "nb_deps") >= 1);
    assert_int_equal(json_object_size(is), json_object_size(was) + 1);
    for (void *it = json_object_iter(was); it != NULL; it = json_object_iter_next(was, it)) {
        const char *key = json_object_iter_key(it);

        assert_member(a, id, key, json_object_iter_value(it), json_object_get(is, key));
    }
    json_object_set_new(a->came, id, json_true());
}

static void
assert_envelope(const struct work *w, const char *const *keys, size_t n)
{
    size_t i = 0;

    for (void *it = json_object_iter(w->envelope); it != NULL; it = json_object_iter_next(w->envelope, it)) {
        assert_true(i < n);
        assert_string_equal(json_object_iter_key(it), keys[i++]);
    }
    assert_int_equal(i, n);
    assert_string_equal(text_of(w->envelope, "bundle_type"), "QUEUE_BUNDLE");
}

static void
take_attack(void *ctx, const struct work *w)
{
    static const char *const keys[] = {"bundle_type", "applicant_id", "action_sequence", "entities_types",
                                       "content", "update", "draft_id"};
    struct attack *a = ctx;

    assert_envelope(w, keys, sizeof(keys) / sizeof(keys[0]));
    assert_string_equal(text_of(w->envelope, "applicant_id"), "somebody");
    assert_int_equal(json_array_size(json_object_get(w->envelope, "entities_types")), 0);
    assert_true(json_is_false(json_object_get(w->envelope, "update")));
    assert_true(json_is_null(json_object_get(w->envelope, "draft_id")));
    assert_string_equal(w->exchange, "amqp.worker.exchange");
    assert_string_equal(w->routing_key, "push_routing_attack");
    assert_string_equal(w->connector, "attack");
    assert_int_equal(w->seq, 1);

    assert_int_equal(json_object_size(w->bundle), 5);
    assert_string_equal(text_of(w->bundle, "type"), "bundle");
    assert_string_equal(text_of(w->bundle, "spec_version"), "2.1");
    assert_true(json_equal(json_object_get(w->bundle, "id"), json_object_get(a->bundle, "id")));
    assert_int_equal(json_array_size(json_object_get(w->bundle, "objects")), 1);
    assert_int_equal(number_of(w->bundle, "x_opencti_seq"), number_of(w->object, "nb_deps"));
    a->messages++;
    assert_int_equal(w->part, a->messages);
    assert_int_equal(number_of(w->envelope, "action_sequence"), a->messages);
    assert_object(a, w->object);
}

/* What OpenCTI has no place for is not sent, nor a relationship with such an end. */
static bool
should_come(const json_t *object)
{
    const char *from = text_of(object, "source_ref"), *to = text_of(object, "target_ref");

    if (strcmp(text_of(object, "type"), "relationship") == 0)
        return has_place(from) && has_place(to);
    return has_place(text_of(object, "id"));
}

static void
each_object_of_attack_comes_as_it_was_and_none_before_what_it_refers_to(void **state)
{
    struct stage *s = *state;
    struct attack a = {.objects = json_object(), .came = json_object()};
    size_t expected = 0;
    char path[600];

    if (world_data("ics-attack.json", path, sizeof(path)) == NULL) {
        print_message("skipped: %s is not there\n", path);
        skip();
    }
    a.bundle = json_load_file(path, 0, NULL);
    assert_non_null(a.bundle);
    const json_t *list = json_object_get(a.bundle, "objects");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *object = json_array_get(list, i);

        json_object_set(a.objects, text_of(object, "id"), object);
        expected += should_come(object);
    }
    char *text = json_dumps(a.bundle, JSON_COMPACT);
    stage_gateway(s, &ANY_ID);
    const int64_t mark = sluiced_log_mark(s->gateway);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "attack", 0);

    acked(feed_says(&f, text, NULL, NULL));
    assert_int_equal(drain(s, "push_attack", take_attack, &a), expected);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *object = json_array_get(list, i);

        if (should_come(object) && json_object_get(a.came, text_of(object, "id")) == NULL)
            fail_msg("%s did not come", text_of(object, "id"));
    }
    assert_true(sluiced_log_wait(s->gateway, mark, "event=objects_left_out", "connector=attack", WAIT_MS));
    print_message("%zu objects, %zu messages\n", json_object_size(a.objects), a.messages);
    feed_close(&f);
    free(text);
    json_decref(a.came);
    json_decref(a.objects);
    json_decref(a.bundle);
}

/* --- What a bundle says by itself --------------------------------------------------------------------------------- */

struct seen {
    size_t n;
    json_t *envelope, *bundle; /* of the last */
    char content[4000];
    char ids[4000]; /* of objects, joined by blanks */
    int64_t parts;
};

static void
take_seen(void *ctx, const struct work *w)
{
    struct seen *seen = ctx;
    const size_t len = strlen(seen->ids);

    json_decref(seen->envelope);
    json_decref(seen->bundle);
    seen->n++;
    seen->envelope = json_incref(w->envelope);
    seen->bundle = json_incref(w->bundle);
    seen->parts = w->parts;
    assert_true(w->content_len < sizeof(seen->content));
    memcpy(seen->content, w->content, w->content_len);
    seen->content[w->content_len] = '\0';
    (void)snprintf(seen->ids + len, sizeof(seen->ids) - len, "%s%s", len > 0 ? " " : "", text_of(w->object, "id"));
}

static void
seen_done(struct seen *seen)
{
    json_decref(seen->envelope);
    json_decref(seen->bundle);
}

static void
a_bundle_may_say_its_format_and_its_options(void **state)
{
    static const char after[] = "\",\"update\":true,\"draft_id\":\"d\",\"work_id\":\"work_1\",\"playbook_id\":\"p\","
                                "\"synchronized\":{\"a\":[1.5]}}";
    static const char options[] =
        "{\"playbook_id\":\"p\", \"work_id\":\"work_1\",\"update\":true,\"entities_types\":[\"Malware\"],"
        "\"draft_id\":\"d\",\"applicant_id\":\"me\",\"synchronized\":{\"a\":[1.50]},\"event_version\":\"4\"}";
    static const char envelope[] =
        "{\"bundle_type\":\"QUEUE_BUNDLE\",\"applicant_id\":\"me\",\"action_sequence\":1,\"entities_types\":"
        "[\"Malware\"],\"content\":\"";
    static const char *const keys[] = {"bundle_type", "applicant_id", "action_sequence", "entities_types", "content",
                                       "update", "draft_id", "work_id", "playbook_id", "synchronized"};
    struct stage *s = *state;
    struct seen seen = {.n = 0};
    stage_gateway(s, &ANY_ID);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "plain", 0);

    acked(feed_says(&f, BUNDLE(IDENTITY), "opencti", options));
    assert_int_equal(drain(s, "plain", take_seen, &seen), 1);
    struct work w = {.envelope = seen.envelope};
    assert_envelope(&w, keys, sizeof(keys) / sizeof(keys[0]));
    char *text = json_dumps(seen.envelope, JSON_COMPACT);
    assert_int_equal(strncmp(text, envelope, strlen(envelope)), 0);
    assert_string_equal(strstr(text, "\",\"update\""), after);
    free(text);
    assert_string_equal(text_of(seen.bundle, "x_opencti_event_version"), "4");
    assert_int_equal(seen.parts, 0); /* one message: it is signed as a body is */
    feed_close(&f);
    seen_done(&seen);
}

static void
a_bundle_that_is_not_to_be_split_goes_as_it_came(void **state)
{
    static const char bundle[] = BUNDLE(IDENTITY ",  {\"type\":\"x-odd\",\"id\":\"x-odd--1\"}");
    struct stage *s = *state;
    struct seen seen = {.n = 0};
    stage_gateway(s, &ANY_ID);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "bad", 0);

    acked(feed_says(&f, bundle, NULL, "{\"no_split\":true}"));
    assert_int_equal(drain(s, "push_bad", take_seen, &seen), 1);
    assert_string_equal(seen.content, bundle);
    assert_true(json_is_true(json_object_get(seen.envelope, "no_split")));
    feed_close(&f);
    seen_done(&seen);
}

static void
references_to_what_is_not_there_go_where_that_is_asked_for(void **state)
{
    static const char bundle[] = BUNDLE("{\"type\":\"malware\",\"id\":\"malware--1\","
                                        "\"created_by_ref\":\"identity--9\","
                                        "\"object_marking_refs\":[\"marking-definition--9\"]}");
    struct stage *s = *state;
    struct seen seen = {.n = 0};
    stage_gateway(s, &ANY_ID);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "bad", 0);

    acked(feed_says(&f, bundle, NULL, NULL));
    assert_int_equal(drain(s, "push_bad", take_seen, &seen), 1);
    assert_non_null(strstr(seen.content, "\"created_by_ref\":\"identity--9\""));
    assert_non_null(strstr(seen.content, "[\"marking-definition--9\"]"));
    acked(feed_says(&f, bundle, NULL, "{\"cleanup_inconsistent_bundle\":true}"));
    assert_int_equal(drain(s, "push_bad", take_seen, &seen), 1);
    assert_non_null(strstr(seen.content, "\"created_by_ref\":null"));
    assert_null(strstr(seen.content, "marking-definition--9"));
    feed_close(&f);
    seen_done(&seen);
}

struct raw {
    const char *want;
    int n;
};

static void
take_raw(void *ctx, const struct consumed *m)
{
    struct raw *r = ctx;

    assert_int_equal(m->len, strlen(r->want));
    assert_memory_equal(m->body, r->want, m->len);
    assert_string_equal(m->content_type, "application/octet-stream");
    r->n++;
}

static void
raw_bundles_pass_where_the_target_has_another_format(void **state)
{
    struct stage *s = *state;
    struct raw raw = {.want = "anything at all"};
    struct consumer *c;
    stage_gateway(s, &ANY_ID);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "bad", 0);

    acked(feed_says(&f, raw.want, "raw", NULL));
    MUST_HAVE(c, consumer_open(world_broker_port(s->world), &err));
    MUST(consumer_drain(c, "push_bad", UINT64_MAX, IDLE_MS, take_raw, &raw, &err));
    assert_int_equal(raw.n, 1);
    nacked(feed_says(&f, raw.want, "raw", "{\"update\":true}"), "format", "raw");
    consumer_close(c);
    feed_close(&f);
}

static void
options_for_a_raw_target_are_refused_and_the_next_bundle_goes(void **state)
{
    struct stage *s = *state;
    struct raw raw = {.want = "anything at all"};
    struct consumer *c;
    stage_gateway(s, &ANY_ID);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "plain", 0);

    nacked(feed_says(&f, BUNDLE(IDENTITY), NULL, "{\"update\":true}"), "format", "raw");
    acked(feed_says(&f, raw.want, NULL, NULL));
    MUST_HAVE(c, consumer_open(world_broker_port(s->world), &err));
    MUST(consumer_drain(c, "plain", UINT64_MAX, IDLE_MS, take_raw, &raw, &err));
    assert_int_equal(raw.n, 1);
    consumer_close(c);
    feed_close(&f);
}

/* --- Refusals ----------------------------------------------------------------------------------------------------- */

static void
what_is_no_bundle_is_refused_with_its_place_and_the_next_one_goes(void **state)
{
    static const struct {
        const char *text, *options, *reason, *must_say;
    } BAD[] = {
        {"hello", NULL, "format", "byte 0: "},
        {"{\"type\":\"bundle\",\"objects\":[" IDENTITY, NULL, "format", "it ends too early"},
        {BUNDLE(IDENTITY) " x", NULL, "format", "bytes behind the end of the bundle"},
        {BUNDLE(IDENTITY ",{\"type\":\"malware\",\"id\":\"malware--1\",\"created_by_ref\":7}"), NULL, "format",
         "objects[1] (malware--1): a reference that is no text"},
        {BUNDLE(IDENTITY ",{\"type\":\"malware\"}"), NULL, "format", "objects[1]: it has no id"},
        {BUNDLE("{\"id\":\"identity--1\",\"type\":\"identity\",\"name\":\"\xff\"}"), NULL, "format",
         "objects[0] (identity--1): a byte that is not UTF-8"},
        {BUNDLE(IDENTITY ",{\"id\":\"a--1\",\"type\":\"a\",\"id\":\"a--2\"}"), NULL, "format",
         "a key that its object has already"},
        {"{\"type\":\"report\",\"objects\":[]}", NULL, "format", "no bundle"},
        {BUNDLE(""), NULL, "empty", "nothing to import"},
        {BUNDLE("{\"type\":\"x-odd\",\"id\":\"x-odd--1\"}"), NULL, "empty", "x-odd--1"},
        {BUNDLE(IDENTITY), "{\"update\":1}", "format", "update must be true or false"},
        {BUNDLE(IDENTITY), "{\"content\":\"\"}", "format", "content"},
        {BUNDLE(IDENTITY), "[1,2]", "format", "options: "},
        {BUNDLE(IDENTITY), "{\"update\":true", "format", "options: byte 14"},
    };
    struct stage *s = *state;
    struct seen seen = {.n = 0};
    const size_t n = sizeof(BAD) / sizeof(BAD[0]);
    stage_gateway(s, &ANY_ID);
    const int64_t mark = sluiced_log_mark(s->gateway);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "bad", 0);

    for (size_t i = 0; i < n; i++) {
        nacked(feed_says(&f, BAD[i].text, NULL, BAD[i].options), BAD[i].reason, BAD[i].must_say);
        acked(feed_says(&f, BUNDLE(IDENTITY), NULL, NULL));
    }
    assert_int_equal(drain(s, "push_bad", take_seen, &seen), n);
    assert_null(strstr(seen.ids, "malware"));
    assert_true(sluiced_log_wait(s->gateway, mark, "event=bundle_refused", "it ends too early", WAIT_MS));
    feed_close(&f);
    seen_done(&seen);
}

/* An identity, and reports whose messages have about so many bytes. */
static char *
with_large(size_t a, size_t b)
{
    char *text;

    assert_true(asprintf(&text,
                         BUNDLE(IDENTITY ",{\"type\":\"report\",\"id\":\"report--1\",\"name\":\"%0*d\"},"
                                         "{\"type\":\"report\",\"id\":\"report--2\",\"name\":\"%0*d\"},"
                                         "{\"type\":\"tool\",\"id\":\"tool--1\"}"),
                         (int)(a * 3 / 4), 0, (int)(b * 3 / 4), 0) > 0);
    return text;
}

static void
an_object_above_max_message_refuses_its_bundle_or_is_left_out_as_the_target_says(void **state)
{
    struct stage *s = *state;
    struct seen seen = {.n = 0};
    struct sluiced_config config = ANY_ID;
    char *one = with_large(100, 5000), *both = with_large(6000, 5000);
    config.broker = "max_message = \"4KiB\";";
    stage_gateway(s, &config);
    int64_t mark = sluiced_log_mark(s->gateway);
    struct feed refuse = feed_open(sluiced_endpoint(s->gateway), "large", 0);
    struct feed skip = feed_open(sluiced_endpoint(s->gateway), "skip", 0);

    struct answer a = feed_says(&refuse, one, NULL, NULL);
    nacked(a, "too_large", "objects[2] (report--2): its message has ");
    nacked(a, "too_large", "the broker takes at most 4096");
    acked(feed_says(&refuse, BUNDLE(IDENTITY), NULL, NULL));
    assert_int_equal(drain(s, "push_large", take_seen, &seen), 1);

    nacked(feed_says(&skip, one, NULL, NULL), "too_large", "report--2");
    seen.ids[0] = '\0';
    assert_int_equal(drain(s, "push_skip", take_seen, &seen), 3);
    assert_string_equal(seen.ids, "identity--1 report--1 tool--1");
    assert_int_equal(number_of(seen.envelope, "action_sequence"), 3);
    assert_int_equal(seen.parts, 3);
    assert_true(sluiced_log_wait(s->gateway, mark, "event=objects_left_out", "too_large=1", WAIT_MS));

    nacked(feed_says(&skip, both, NULL, NULL), "too_large", "report--1 and 1 more");
    acked(feed_says(&skip, BUNDLE(IDENTITY), NULL, NULL));
    assert_int_equal(drain(s, "push_skip", NULL, NULL), 3);
    feed_close(&refuse);
    feed_close(&skip);
    seen_done(&seen);
    free(one);
    free(both);
}

static void
broker_takes(struct stage *s, const char *bytes)
{
    char code[200];
    const char *const args[] = {"eval", code, NULL};

    (void)snprintf(code, sizeof(code),
                   "application:set_env(rabbit, max_message_size, %s), persistent_term:put(max_message_size, %s).",
                   bytes, bytes);
    stage_broker(s, "ctl", args);
}

static void
what_only_the_broker_finds_too_large_is_refused_in_its_words_and_the_next_bundle_goes(void **state)
{
    struct stage *s = *state;
    struct seen seen = {.n = 0};
    char *bundle = with_large(100, 20000);
    broker_takes(s, "10000");
    stage_gateway(s, &ANY_ID);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "large", 0);

    struct answer a = feed_says(&f, bundle, NULL, NULL), next = feed_says(&f, BUNDLE(IDENTITY), NULL, NULL);
    broker_takes(s, "134217728");
    nacked(a, "too_large", "message 3 of 4");
    nacked(a, "too_large", "max");
    acked(next);
    /* What went before stays there, once or (since the channel was closed over the large one) more often. */
    assert_in_range(drain(s, "push_large", take_seen, &seen), 3, 7);
    assert_null(strstr(seen.ids, "report--2"));
    feed_close(&f);
    seen_done(&seen);
    free(bundle);
}

/* --- OpenCTI's names ---------------------------------------------------------------------------------------------- */

/* What rabbitmqctl says of a kind of thing, as JSON.  The caller gives it back. */
static json_t *
listed(struct stage *s, const char *what, const char *const *columns)
{
    char script[600], dir[600], *out = malloc(1 << 16);
    const char *tool = world_source("tests/broker", script, sizeof(script));
    const char *argv[16] = {tool, "ctl", dir, "-q", "--formatter", "json", what};
    json_error_t why;
    size_t n = 7;

    assert_non_null(out);
    while (*columns != NULL)
        argv[n++] = *columns++;
    (void)snprintf(dir, sizeof(dir), "%s/broker", world_dir(s->world));
    MUST(world_run(argv, WAIT_MS, out, 1 << 16, &err));
    json_t *j = json_loads(strchr(out, '['), 0, &why);
    if (j == NULL)
        fail_msg("%s: %s", why.text, out);
    free(out);
    return j;
}

static json_t *
named(const json_t *list, const char *key, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *one = json_array_get(list, i);

        if (text_of(one, key) != NULL && strcmp(text_of(one, key), name) == 0)
            return one;
    }
    return NULL;
}

/* An entry of an AMQP table as rabbitmqctl shows it, [[key, type, value], ...]; NULL: there is none. */
static const json_t *
entry_of(const json_t *table, const char *key)
{
    for (size_t i = 0; i < json_array_size(table); i++) {
        const json_t *entry = json_array_get(table, i);

        if (strcmp(json_string_value(json_array_get(entry, 0)), key) == 0)
            return entry;
    }
    return NULL;
}

static bool
has_text(const json_t *table, const char *key, const char *value)
{
    const json_t *entry = entry_of(table, key);

    return entry != NULL && strcmp(json_string_value(json_array_get(entry, 1)), "longstr") == 0 &&
           strcmp(json_string_value(json_array_get(entry, 2)), value) == 0;
}

/* Is the queue there, with exactly the platform's arguments, and of this name? */
static void
assert_queue(struct stage *s, const char *queue, const char *name)
{
    static const char *const columns[] = {"name", "durable", "auto_delete", "exclusive", "arguments", NULL};
    json_t *list = listed(s, "list_queues", columns), *q = named(list, "name", queue);
    const json_t *arguments = json_object_get(q, "arguments");
    const json_t *config = json_array_get(entry_of(arguments, "config"), 2);

    assert_non_null(q);
    assert_true(json_is_true(json_object_get(q, "durable")));
    assert_true(json_is_false(json_object_get(q, "auto_delete")));
    assert_true(json_is_false(json_object_get(q, "exclusive")));
    assert_int_equal(json_array_size(arguments), 3);
    assert_true(has_text(arguments, "name", name));
    assert_true(has_text(arguments, "x-queue-type", "classic"));
    assert_int_equal(json_array_size(config), 3);
    assert_true(has_text(config, "id", name));
    assert_true(has_text(config, "type", "EXTERNAL_IMPORT"));
    assert_non_null(entry_of(config, "scope"));
    json_decref(list);
}

static void
assert_bound(struct stage *s, const char *exchange, const char *key, const char *queue)
{
    static const char *const columns[] = {"source_name", "routing_key", "destination_name", NULL};
    static const char *const kinds[] = {"name", "type", "durable", NULL};
    json_t *list = listed(s, "list_bindings", columns), *exchanges = listed(s, "list_exchanges", kinds);
    const json_t *e = named(exchanges, "name", exchange);
    size_t n = 0;

    assert_non_null(e);
    assert_string_equal(text_of(e, "type"), "direct");
    assert_true(json_is_true(json_object_get(e, "durable")));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *b = json_array_get(list, i);

        n += strcmp(text_of(b, "source_name"), exchange) == 0 && strcmp(text_of(b, "routing_key"), key) == 0 &&
             strcmp(text_of(b, "destination_name"), queue) == 0;
    }
    assert_int_equal(n, 1);
    json_decref(list);
    json_decref(exchanges);
}

static void
the_queue_is_declared_as_the_platform_does_and_may_be_declared_by_it_again(void **state)
{
    static const struct sluiced_config config = {
        .rest = "connectors = ( { id = \"named\"; format = \"opencti\"; declare = true;"
                " queue_prefix = \"test-\"; } );"};
    struct stage *s = *state;
    const int port = world_broker_port(s->world);
    stage_gateway(s, &config);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "named", 0);

    acked(feed_says(&f, BUNDLE(IDENTITY), NULL, NULL));
    assert_queue(s, "test-push_named", "named");
    assert_bound(s, "test-amqp.worker.exchange", "test-push_routing_named", "test-push_named");
    worker_platform_declares(port, "test-push_named", "KEV of CISA", "test-amqp.worker.exchange",
                             "test-push_routing_named");
    acked(feed_says(&f, BUNDLE(IDENTITY), NULL, NULL));
    assert_int_equal(drain(s, "test-push_named", NULL, NULL), 2);
    feed_close(&f);
}

/* With declare or without: what the platform made is verified and left as it is. */
static void
a_queue_that_the_platform_made_is_taken_as_it_is(void **state)
{
    static const struct sluiced_config configs[] = {
        {.rest = "connectors = ( { id = \"theirs\"; format = \"opencti\"; } );"},
        {.rest = "connectors = ( { id = \"theirs\"; format = \"opencti\"; declare = true; } );"}};
    struct stage *s = *state;
    worker_platform_declares(world_broker_port(s->world), "push_theirs", "the platform's name", "amqp.worker.exchange",
                             "push_routing_theirs");
    for (size_t i = 0; i < 2; i++) {
        stage_gateway(s, &configs[i]);
        const int64_t mark = sluiced_log_mark(s->gateway);
        struct feed f = feed_open(sluiced_endpoint(s->gateway), "theirs", 0);

        acked(feed_says(&f, BUNDLE(IDENTITY), NULL, NULL));
        assert_int_equal(sluiced_log_count(s->gateway, mark, "event=queue_declared"), 0);
        assert_int_equal(drain(s, "push_theirs", NULL, NULL), 1);
        assert_queue(s, "push_theirs", "the platform's name");
        feed_close(&f);
        sluiced_free(s->gateway);
        s->gateway = NULL;
    }
}

/* --- Real connectors ---------------------------------------------------------------------------------------------- */

struct kev {
    size_t vulnerabilities, identities;
    char identity[80]; /* that came last */
};

static void
take_kev(void *ctx, const struct work *w)
{
    struct kev *k = ctx;

    assert_true(json_is_true(json_object_get(w->envelope, "update")));
    if (strcmp(text_of(w->object, "type"), "vulnerability") == 0) {
        assert_string_equal(text_of(w->object, "created_by_ref"), k->identity);
        assert_int_equal(w->part, 2);
        k->vulnerabilities++;
    } else {
        assert_string_equal(text_of(w->object, "type"), "identity");
        assert_int_equal(w->part, 1);
        (void)snprintf(k->identity, sizeof(k->identity), "%s", text_of(w->object, "id"));
        k->identities++;
    }
    assert_int_equal(w->parts, 2);
}

static void
cisa_kev_may_push_for_opencti_where_the_target_is_raw(void **state)
{
    struct stage *s = *state;
    struct kev k = {.identities = 0};
    char program[600], feed[600], out[OUT];
    size_t n = 1404;
    stage_gateway(s, &ANY_ID);
    if (world_data("known_exploited_vulnerabilities.json", feed, sizeof(feed)) == NULL) {
        n = 12;
        (void)world_source("connectors/cisa-kev/sample.json", feed, sizeof(feed));
    }
    const char *argv[] = {world_built("connectors/cisa-kev", program, sizeof(program)), "--endpoint",
                          sluiced_endpoint(s->gateway), "--feed", feed, "--format", "opencti", "--format-options",
                          "{\"update\":true}", NULL};
    int status;

    MUST(status = world_run(argv, RUN_MS, out, sizeof(out), &err));
    if (status != 0)
        fail_msg("cisa-kev: status %d: %s", status, out);
    assert_int_equal(drain(s, "kev", take_kev, &k), 2 * n);
    assert_int_equal(k.vulnerabilities, n);
    assert_int_equal(k.identities, n);
}

static void
stix_file_may_push_for_opencti_and_is_told_what_was_refused(void **state)
{
    struct stage *s = *state;
    char program[600], path[600], out[OUT];
    size_t len;
    char *bundle = stix_bundle(MANY, 100, &len);
    struct stix_tally *t = stix_tally_new(MANY, 100);
    FILE *f;
    stage_gateway(s, &ANY_ID);
    (void)snprintf(path, sizeof(path), "%s/many.json", world_dir(s->world));
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(bundle, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    const char *argv[] = {world_built("connectors/stix-file", program, sizeof(program)), "--endpoint",
                          sluiced_endpoint(s->gateway), "--id", "plain", "--format", "opencti", path, NULL};
    int status;

    MUST(status = world_run(argv, RUN_MS, out, sizeof(out), &err));
    if (status != 0)
        fail_msg("stix-file: status %d: %s", status, out);
    assert_int_equal(drain(s, "plain", stix_tally_take, t), MANY);
    assert_int_equal(t->distinct, MANY);
    argv[7] = program; /* no bundle at all */
    MUST(status = world_run(argv, RUN_MS, out, sizeof(out), &err));
    assert_int_equal(status, 1);
    assert_non_null(strstr(out, "byte 0"));
    stix_tally_free(t);
    free(bundle);
}

#define FORMAT(name) cmocka_unit_test_setup_teardown(name, stage_begin, stage_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FORMAT(each_object_of_attack_comes_as_it_was_and_none_before_what_it_refers_to),
        FORMAT(a_bundle_may_say_its_format_and_its_options),
        FORMAT(a_bundle_that_is_not_to_be_split_goes_as_it_came),
        FORMAT(references_to_what_is_not_there_go_where_that_is_asked_for),
        FORMAT(raw_bundles_pass_where_the_target_has_another_format),
        FORMAT(options_for_a_raw_target_are_refused_and_the_next_bundle_goes),
        FORMAT(what_is_no_bundle_is_refused_with_its_place_and_the_next_one_goes),
        FORMAT(an_object_above_max_message_refuses_its_bundle_or_is_left_out_as_the_target_says),
        FORMAT(what_only_the_broker_finds_too_large_is_refused_in_its_words_and_the_next_bundle_goes),
        FORMAT(the_queue_is_declared_as_the_platform_does_and_may_be_declared_by_it_again),
        FORMAT(a_queue_that_the_platform_made_is_taken_as_it_is),
        FORMAT(cisa_kev_may_push_for_opencti_where_the_target_is_raw),
        FORMAT(stix_file_may_push_for_opencti_and_is_told_what_was_refused),
    };

    return cmocka_run_group_tests_name("format", tests, stage_open, stage_close);
}
