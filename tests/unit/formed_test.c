/* formed_test.c - what the formats made of bundles, as the core, the bodies and the log are told. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "bodies.h"
#include "err.h"
#include "formats/former.h"
#include "log.h"
#include "loop_parts.h"
#include "mailbox.h"
#include "parts.h"

enum { SLOT = 5,
       EVENTS = 8 };

/* A loop of which only these parts are there; the core is this test. */
struct world {
    struct loop loop;
    int log_fd, freed;
    struct {
        struct core_event e;
        char text[300]; /* that was lent for the step: with the event; "" for none */
        bool had_parts; /* the body was messages when the core heard of it */
    } told[EVENTS];
    size_t n;
};

/* In the place of the loop's own. */
void
effects_step(struct loop *l, const struct core_event *e)
{
    struct world *w = (struct world *)l;
    const char *text = e->kind == CORE_FORMED ? e->u.formed.left_out : e->u.result.text;

    assert_true(w->n < EVENTS);
    w->told[w->n].e = *e;
    w->told[w->n].had_parts = bodies_at(l->bodies, SLOT)->parts != NULL;
    (void)snprintf(w->told[w->n++].text, sizeof(w->told[0].text), "%s", text != NULL ? text : "");
}

struct fake {
    struct parts parts;
    int *freed;
};

static void
free_fake(struct parts *p)
{
    ++*((struct fake *)p)->freed;
    free(p);
}

static const struct parts_kind KIND = {.free = free_fake};

static struct parts *
parts_new(struct world *w)
{
    struct fake *fake = calloc(1, sizeof(*fake));

    fake->parts = (struct parts){.kind = &KIND, .n = 42, .bytes = 5000};
    fake->freed = &w->freed;
    return &fake->parts;
}

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    const struct wire_msg header = {.type = WIRE_BUNDLE, .size = 4};
    struct err err;

    w->log_fd = memfd_create("log", MFD_CLOEXEC);
    w->loop.log = log_new(w->log_fd, LOG_KEYVALUE, LOG_DEBUG, &err);
    w->loop.bodies = bodies_new(&err);
    w->loop.formed = mailbox_new(sizeof(struct former_result), &err);
    *state = w;
    return bodies_open_whole(w->loop.bodies, SLOT, &header, "some") == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    bodies_free(w->loop.bodies);
    mailbox_free(w->loop.formed);
    log_free(w->loop.log);
    close(w->log_fd);
    free(w);
    return 0;
}

static void
comes_back(struct world *w, const struct former_result *r)
{
    assert_int_equal(mailbox_post(w->loop.formed, r, 1, NULL), 0);
}

static bool
logged(const struct world *w, const char *text)
{
    char all[4000];
    const ssize_t n = pread(w->log_fd, all, sizeof(all) - 1, 0);

    assert_true(n >= 0);
    all[n] = '\0';
    return strstr(all, text) != NULL;
}

static void
a_bundle_that_was_formed_is_messages_before_the_core_hears_of_it(void **state)
{
    struct world *w = *state;
    struct parts *p = parts_new(w);

    comes_back(w, &(struct former_result){.ticket = SLOT, .connector = "feed", .seq = 7, .parts = p});
    formed_take(&w->loop);
    assert_int_equal(w->n, 1);
    assert_int_equal(w->told[0].e.kind, CORE_FORMED);
    assert_int_equal(w->told[0].e.u.formed.slot, SLOT);
    assert_int_equal(w->told[0].e.u.formed.messages, 42);
    assert_int_equal(w->told[0].e.u.formed.bytes, 5000);
    assert_null(w->told[0].e.u.formed.left_out);
    assert_true(w->told[0].had_parts);
    assert_ptr_equal(bodies_at(w->loop.bodies, SLOT)->parts, p);
    assert_int_equal(bodies_at(w->loop.bodies, SLOT)->n, 0);
    assert_false(logged(w, "objects_left_out"));
    bodies_close(w->loop.bodies, SLOT);
    assert_int_equal(w->freed, 1);
}

static void
what_the_platform_has_no_place_for_is_written_down_and_changes_no_verdict(void **state)
{
    struct world *w = *state;
    struct former_result r = {.ticket = SLOT, .connector = "feed", .seq = 7, .parts = parts_new(w)};

    r.notes = (struct format_notes){.incompatible = 2, .text = "no place for: x--1 and 1 more"};
    comes_back(w, &r);
    formed_take(&w->loop);
    assert_null(w->told[0].e.u.formed.left_out);
    assert_true(logged(w, "event=objects_left_out connector=feed seq=7 incompatible=2 too_large=0 "
                          "text=\"no place for: x--1"));
}

static void
what_was_too_large_is_written_down_and_told_to_the_core(void **state)
{
    struct world *w = *state;
    struct former_result r = {.ticket = SLOT, .connector = "feed", .seq = 7, .parts = parts_new(w)};

    r.notes = (struct format_notes){.too_large = 1, .text = "too large for the broker: report--1"};
    comes_back(w, &r);
    formed_take(&w->loop);
    assert_string_equal(w->told[0].text, "too large for the broker: report--1");
    assert_true(logged(w, "incompatible=0 too_large=1"));
}

static void
each_fault_has_its_reason_and_the_words_go_with_it(void **state)
{
    static const struct {
        enum format_fault fault;
        enum wire_reason reason;
    } of[] = {{FORMAT_NOMEM, WIRE_R_REFUSED},
              {FORMAT_MALFORMED, WIRE_R_FORMAT},
              {FORMAT_TOO_LARGE, WIRE_R_TOO_LARGE},
              {FORMAT_EMPTY, WIRE_R_EMPTY}};
    struct world *w = *state;

    for (size_t i = 0; i < 4; i++)
        comes_back(w, &(struct former_result){.ticket = SLOT, .fault = of[i].fault, .text = "why"});
    formed_take(&w->loop);
    assert_int_equal(w->n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(w->told[i].e.kind, CORE_REFUSED);
        assert_int_equal(w->told[i].e.u.result.slot, SLOT);
        assert_int_equal(w->told[i].e.u.result.reason, of[i].reason);
        assert_string_equal(w->told[i].text, "why");
        assert_false(w->told[i].had_parts);
    }
}

static void
what_nobody_will_take_is_freed(void **state)
{
    struct world *w = *state;
    struct mailbox *box = w->loop.formed;

    comes_back(w, &(struct former_result){.ticket = SLOT, .connector = "feed", .parts = parts_new(w)});
    comes_back(w, &(struct former_result){.ticket = SLOT, .connector = "feed", .text = "refused"});
    comes_back(w, &(struct former_result){.ticket = SLOT, .connector = "feed", .parts = parts_new(w)});
    formed_forget(&w->loop);
    assert_int_equal(w->freed, 2);
    assert_int_equal(w->n, 0);
    w->loop.formed = NULL; /* as where opening failed before it */
    formed_forget(&w->loop);
    w->loop.formed = box;
}

#define FORMED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FORMED(a_bundle_that_was_formed_is_messages_before_the_core_hears_of_it),
        FORMED(what_the_platform_has_no_place_for_is_written_down_and_changes_no_verdict),
        FORMED(what_was_too_large_is_written_down_and_told_to_the_core),
        FORMED(each_fault_has_its_reason_and_the_words_go_with_it),
        FORMED(what_nobody_will_take_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
