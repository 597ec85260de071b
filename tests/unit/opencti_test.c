/* opencti_test.c - the forward format of OpenCTI: rule by rule, what each bundle becomes; and what is no bundle.
 *
 * The expected messages are written by hand from pycti's rules; tests/system/opencti_pycti_test.sh compares with pycti.
 * Texts are in single quotes where JSON has double ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "body.h"
#include "err.h"
#include "formats/format.h"
#include "heap_double.h"
#include "parts.h"

#define A "malware--a"
#define B "malware--b"
#define C "malware--c"
#define OBJECT(id, rest) "{'type':'malware','id':'" id "'" rest "}"

struct world {
    struct format_ask ask;
    struct parts *parts;
    struct format_notes notes;
    enum format_fault fault;
    struct err err;
    char *message; /* the last that was asked for, NUL behind it */
    char *content; /* of it, decoded */
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    heap_double.left = 0;
    *state = w;
    if (w == NULL)
        return -1;
    w->ask = (struct format_ask){.options = "", .applicant_id = "", .max_message = 1 << 24};
    return 0;
}

static void
forget(struct world *w)
{
    parts_free(w->parts);
    free(w->message);
    free(w->content);
    w->parts = NULL;
    w->message = w->content = NULL;
}

static int
teardown(void **state)
{
    heap_double.left = 0;
    forget(*state);
    free(*state);
    return 0;
}

/* The double quotes of JSON. */
static char *
quoted(const char *text)
{
    char *copy = strdup(text);

    assert_non_null(copy);
    for (char *c = copy; *c != '\0'; c++)
        if (*c == '\'')
            *c = '"';
    return copy;
}

/* Splits bytes that come in chunks of so many. */
static int
split_chunks(struct world *w, const char *bytes, size_t len, size_t each)
{
    const size_t n = (len + each - 1) / each;
    struct chunk *chunks = calloc(n + 1, sizeof(*chunks));

    assert_non_null(chunks);
    for (size_t i = 0; i < n; i++) {
        chunks[i].at = bytes + i * each;
        chunks[i].len = i + 1 < n ? each : len - i * each;
    }
    const struct body body = {
        .size = len, .have = len, .n = (uint32_t)n, .cap = (uint32_t)n, .chunks = chunks, .ctype = ""};

    forget(w);
    w->ask.body = &body;
    w->ask.options_len = strlen(w->ask.options);
    const int rc = opencti_parts(&w->ask, &w->parts, &w->notes, &w->fault, &w->err);

    free(chunks);
    return rc;
}

static int
split(struct world *w, const char *text)
{
    char *bytes = quoted(text);
    const int rc = split_chunks(w, bytes, strlen(bytes), 1 << 20);

    free(bytes);
    return rc;
}

static int
split_objects(struct world *w, const char *objects)
{
    char *text;

    assert_true(asprintf(&text, "{'type':'bundle','id':'bundle--1','objects':[%s]}", objects) > 0);
    const int rc = split(w, text);

    free(text);
    return rc;
}

/* The value of a base64 digit, by what the RFC's table says. */
static unsigned
digit(char c)
{
    static const char table[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(table, c);

    assert_true(at != NULL && c != '\0');
    return (unsigned)(at - table);
}

static char *
decoded(const char *from, size_t len)
{
    char *to = malloc(len + 1), *at = to;

    assert_non_null(to);
    assert_int_equal(len % 4, 0);
    for (size_t i = 0; i < len; i += 4) {
        const unsigned pad = (unsigned)(from[i + 3] == '=') + (unsigned)(from[i + 2] == '=');
        unsigned word = digit(from[i]) << 18 | digit(from[i + 1]) << 12;
        assert_true(pad == 0 || i + 4 == len);
        word |= pad < 2 ? digit(from[i + 2]) << 6 : 0;
        word |= pad < 1 ? digit(from[i + 3]) : 0;
        *at++ = (char)(word >> 16);
        if (pad < 2)
            *at++ = (char)(word >> 8);
        if (pad < 1)
            *at++ = (char)word;
    }
    *at = '\0';
    return to;
}

/* Message i, as it is written; no byte beyond its size is touched. */
static const char *
message(struct world *w, uint32_t i)
{
    const uint64_t size = w->parts->kind->size(w->parts, i);
    const char *at, *end;

    free(w->message);
    free(w->content);
    w->message = malloc(size + 2);
    assert_non_null(w->message);
    memset(w->message, '#', size + 2);
    w->parts->kind->write(w->parts, i, w->message);
    assert_int_equal(w->message[size], '#');
    assert_int_not_equal(w->message[size - 1], '#');
    w->message[size] = '\0';
    assert_int_equal(strlen(w->message), size);
    at = strstr(w->message, "\"content\":\"");
    assert_non_null(at);
    at += 11;
    end = strchr(at, '"');
    assert_non_null(end);
    w->content = decoded(at, (size_t)(end - at));
    return w->message;
}

static void
is_object(struct world *w, uint32_t i, const char *object)
{
    char *expected, *text = quoted(object);
    const char *deps = strstr(text, "\"nb_deps\":");

    assert_non_null(deps);
    assert_true(asprintf(&expected,
                         "{\"type\":\"bundle\",\"id\":\"bundle--1\",\"spec_version\":\"2.1\",\"x_opencti_seq\":%d,"
                         "\"objects\":[%s]}",
                         (int)strtol(deps + 10, NULL, 10), text) > 0);
    (void)message(w, i);
    assert_string_equal(w->content, expected);
    free(expected);
    free(text);
}

/* A bare NULL need not be a pointer behind an ellipsis. */
#define END ((const char *)NULL)

/* These objects become these, in this order; END at the end. */
static void
becomes(struct world *w, const char *objects, ...)
{
    uint32_t n = 0;
    va_list list;

    assert_int_equal(split_objects(w, objects), 0);
    va_start(list, objects);
    for (const char *o; (o = va_arg(list, const char *)) != NULL; n++) {
        assert_true(n < w->parts->n);
        is_object(w, n, o);
    }
    va_end(list);
    assert_int_equal(w->parts->n, n);
}

/* --- The envelope ------------------------------------------------------------------------------------------------- */

static void
is_message(struct world *w, const char *expected)
{
    char *text = quoted(expected);

    assert_string_equal(message(w, 0), text);
    free(text);
}

static void
a_message_has_the_envelope_that_workers_read(void **state)
{
    struct world *w = *state;

    w->ask.applicant_id = "user \"1\"";
    assert_int_equal(split(w, "{'id':'b','objects':[{'type':'x','id':'y'}]}"), 0);
    assert_int_equal(w->parts->n, 1);
    assert_string_equal(w->parts->ctype, "");
    assert_string_equal(w->parts->encoding, "utf-8");
    is_message(w,
               "{'bundle_type':'QUEUE_BUNDLE','applicant_id':'user \\'1\\'','action_sequence':1,'entities_types':[],"
               "'content':'eyJ0eXBlIjoiYnVuZGxlIiwiaWQiOiJiIiwic3BlY192ZXJzaW9uIjoiMi4xIiwieF9vcGVuY3RpX3NlcSI6MSwib2"
               "JqZWN0cyI6W3sidHlwZSI6IngiLCJpZCI6InkiLCJuYl9kZXBzIjoxfV19','update':false,'draft_id':null}");
    assert_string_equal(w->content,
                        "{\"type\":\"bundle\",\"id\":\"b\",\"spec_version\":\"2.1\",\"x_opencti_seq\":1,\"objects\":"
                        "[{\"type\":\"x\",\"id\":\"y\",\"nb_deps\":1}]}");
}

/* All but the content. */
static void
has_envelope(struct world *w, const char *options, const char *before, const char *behind)
{
    char *text = quoted(options), *head = quoted(before), *tail = quoted(behind);

    w->ask.options = text;
    assert_int_equal(split_objects(w, OBJECT(A, "")), 0);
    (void)message(w, 0);
    assert_memory_equal(w->message, head, strlen(head));
    assert_true(strlen(w->message) > strlen(tail));
    assert_string_equal(w->message + strlen(w->message) - strlen(tail), tail);
    w->ask.options = "";
    free(text);
    free(head);
    free(tail);
}

#define BEFORE(applicant, types)                                                                             \
    "{'bundle_type':'QUEUE_BUNDLE','applicant_id':" applicant ",'action_sequence':1,'entities_types':" types \
    ",'content':'ey"

static void
options_go_into_the_envelope(void **state)
{
    struct world *w = *state;

    has_envelope(w, "{}", BEFORE("null", "[]"), "','update':false,'draft_id':null}");
    has_envelope(w, "{'work_id':'w','update':true,'draft_id':'','entities_types':['Report', 'x'],'applicant_id':'a'}",
                 BEFORE("'a'", "['Report', 'x']"), "','update':true,'draft_id':'','work_id':'w'}");
    has_envelope(w, " { 'work_id' : null, 'update':null,'entities_types':null,'no_split':false} ", BEFORE("null", "[]"),
                 "','update':false,'draft_id':null}");
    w->ask.applicant_id = "target";
    has_envelope(w, "{'applicant_id':''}", BEFORE("'target'", "[]"), "','update':false,'draft_id':null}");
}

static void
unknown_options_go_through_as_they_came(void **state)
{
    struct world *w = *state;

    has_envelope(w, "{'playbook_id':{'a':[1, 2.50]},'work_id':'w','type' : 'event'}", BEFORE("null", "[]"),
                 "','update':false,'draft_id':null,'work_id':'w','playbook_id':{'a':[1, 2.50]},'type':'event'}");
}

static void
wrong_options_are_named(void **state)
{
    static const struct {
        const char *options, *words;
    } wrong[] = {
        {"{'work_id':1}", "options: work_id must be a text"},
        {"{'update':'yes'}", "options: update must be true or false"},
        {"{'update':1}", "options: update must be true or false"},
        {"{'entities_types':'Report'}", "options: entities_types must be a list of texts"},
        {"{'entities_types':['a',1]}", "options: entities_types must be a list of texts"},
        {"{'draft_id':[]}", "options: draft_id must be a text"},
        {"{'applicant_id':true}", "options: applicant_id must be a text"},
        {"{'event_version':{}}", "options: event_version must be a text or a number"},
        {"{'no_split':0}", "options: no_split must be true or false"},
        {"{'cleanup_inconsistent_bundle':'x'}", "options: cleanup_inconsistent_bundle must be true or false"},
        {"{'content':'x'}", "options: content is what the message says by itself; it cannot be given"},
        {"{'bundle_type':null}", "options: bundle_type is what the message says by itself; it cannot be given"},
        {"{'a':1,'a':2}", "options: byte 7: a key that its object has already"},
        {"[]", "options: byte 0: they are no JSON object"},
        {"{'a':1} x", "options: byte 8: bytes behind their end"},
        {"{'a':", "options: byte 5: it ends too early"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char *options = quoted(wrong[i].options);
        w->ask.options = options;
        assert_int_equal(split_objects(w, OBJECT(A, "")), -1);
        assert_string_equal(w->err.text, wrong[i].words);
        assert_int_equal(w->fault, FORMAT_MALFORMED);
        free(options);
    }
}

static void
an_event_version_is_in_the_bundle_of_each_object(void **state)
{
    struct world *w = *state;

    w->ask.options = "{\"event_version\":\"4\"}";
    assert_int_equal(split_objects(w, OBJECT(A, "")), 0);
    (void)message(w, 0);
    assert_string_equal(w->content,
                        "{\"type\":\"bundle\",\"id\":\"bundle--1\",\"spec_version\":\"2.1\",\"x_opencti_seq\":1,"
                        "\"objects\":[{\"type\":\"malware\",\"id\":\"malware--a\",\"nb_deps\":1}],"
                        "\"x_opencti_event_version\":\"4\"}");
}

static void
a_bundle_that_is_not_to_be_split_goes_as_it_came(void **state)
{
    struct world *w = *state;
    const char *text = " {\"objects\" : [{\"id\":\"a\",\"type\":\"x\"},{\"id\":\"unknown--b\",\"type\":\"y\"}]}\n";

    w->ask.options = "{\"no_split\":true,\"event_version\":\"4\"}";
    assert_int_equal(split(w, text), 0);
    assert_int_equal(w->parts->n, 1);
    (void)message(w, 0);
    assert_string_equal(w->content, text);
    assert_non_null(strstr(w->message, "\"draft_id\":null,\"no_split\":true}"));
}

/* --- The rules ---------------------------------------------------------------------------------------------------- */

static void
dependencies_go_first_and_are_counted(void **state)
{
    becomes(*state,
            "{'type':'report','id':'report--r','object_refs':['relationship--l']},"
            "{'type':'relationship','id':'relationship--l','source_ref':'malware--a','target_ref':'vulnerability--v'},"
            "{'type':'malware','id':'malware--a','created_by_ref':'identity--i'},"
            "{'type':'identity','id':'identity--i'},{'type':'vulnerability','id':'vulnerability--v'}",
            "{'type':'identity','id':'identity--i','nb_deps':1}",
            "{'type':'vulnerability','id':'vulnerability--v','nb_deps':1}",
            "{'type':'malware','id':'malware--a','created_by_ref':'identity--i','nb_deps':2}",
            "{'type':'relationship','id':'relationship--l','source_ref':'malware--a','target_ref':'vulnerability--v','"
            "nb_deps':4}",
            "{'type':'report','id':'report--r','object_refs':['relationship--l'],'nb_deps':5}", END);
}

static void
objects_of_as_many_dependencies_keep_their_order(void **state)
{
    becomes(*state, OBJECT(C, "") "," OBJECT(A, "") "," OBJECT(B, ""), OBJECT(C, ",'nb_deps':1"),
            OBJECT(A, ",'nb_deps':1"), OBJECT(B, ",'nb_deps':1"), END);
}

static void
of_objects_with_one_id_the_last_goes(void **state)
{
    becomes(*state, OBJECT(A, ",'n':1") "," OBJECT(A, ",'n':2"), OBJECT(A, ",'n':2,'nb_deps':1"), END);
}

static void
what_comes_is_not_written_anew(void **state)
{
    becomes(
        *state, "{ 'type' : 'malware',\n 'id':'malware--a', 'n' : 12345678901234567890.10e+5, 't':'\\u00e9\\/' }",
        "{ 'type' : 'malware',\n 'id':'malware--a', 'n' : 12345678901234567890.10e+5, 't':'\\u00e9\\/' ,'nb_deps':1}",
        END);
}

static void
a_count_that_came_along_is_replaced(void **state)
{
    becomes(*state, OBJECT(A, ",'nb_deps':{'x':[1]},'n':1"), OBJECT(A, ",'nb_deps':1,'n':1"), END);
}

static void
keys_and_ids_are_told_by_what_they_say(void **state)
{
    becomes(*state,
            OBJECT(A, ",'\\u0078_\\u0072ef':'malware--\\u0062','x_\\u0072efs':['malware\\u002d-b']") "," OBJECT(B, ""),
            OBJECT(B, ",'nb_deps':1"),
            OBJECT(A, ",'\\u0078_\\u0072ef':'malware--\\u0062','x_\\u0072efs':['malware\\u002d-b'],'nb_deps':3"), END);
}

#define FACE "\xf0\x9f\x98\x80"
#define EURO "\xe2\x82\xac"

static void
characters_outside_the_first_plane_are_told_by_what_they_say(void **state)
{
    becomes(*state, OBJECT(A, ",'a_ref':'\\ud83d\\ude00','b_ref':'\\u20ac'") "," OBJECT(FACE, "") "," OBJECT(EURO, ""),
            OBJECT(FACE, ",'nb_deps':1"), OBJECT(EURO, ",'nb_deps':1"),
            OBJECT(A, ",'a_ref':'\\ud83d\\ude00','b_ref':'\\u20ac','nb_deps':3"), END);
}

static void
a_reference_to_what_is_no_type_of_the_platform_goes(void **state)
{
    becomes(*state, OBJECT(A, ",'a_ref':'x-other--1','b_refs':['x-other--1' , 'malware--z','x-other--2']"),
            OBJECT(A, ",'a_ref':null,'b_refs':['malware--z'],'nb_deps':1"), END);
}

static void
a_reference_to_what_is_not_there_stays(void **state)
{
    becomes(*state, OBJECT(A, ",'a_ref':'malware--z','b_refs':['malware--y','internal']"),
            OBJECT(A, ",'a_ref':'malware--z','b_refs':['malware--y','internal'],'nb_deps':1"), END);
}

static void
in_a_cleanup_it_goes(void **state)
{
    struct world *w = *state;

    w->ask.options = "{\"cleanup_inconsistent_bundle\":true}";
    becomes(w, OBJECT(A, ",'a_ref':'malware--z','b_refs':['malware--y','malware--b']") "," OBJECT(B, ""),
            OBJECT(B, ",'nb_deps':1"), OBJECT(A, ",'a_ref':null,'b_refs':['malware--b'],'nb_deps':2"), END);
}

static void
a_reference_twice_in_a_list_is_counted_twice_and_kept_once(void **state)
{
    becomes(*state, OBJECT(A, ",'b_refs':['malware--b','malware--b','z','z']") "," OBJECT(B, ""),
            OBJECT(B, ",'nb_deps':1"), OBJECT(A, ",'b_refs':['malware--b','z'],'nb_deps':3"), END);
}

static void
a_reference_to_itself_goes(void **state)
{
    becomes(*state, OBJECT(A, ",'a_ref':'malware--a','b_refs':['malware--a']"),
            OBJECT(A, ",'a_ref':null,'b_refs':[],'nb_deps':1"), END);
}

static void
of_two_that_refer_to_each_other_the_second_does_not(void **state)
{
    becomes(*state, OBJECT(A, ",'a_ref':'malware--b'") "," OBJECT(B, ",'b_ref':'malware--a'"),
            OBJECT(B, ",'b_ref':null,'nb_deps':1"), OBJECT(A, ",'a_ref':'malware--b','nb_deps':2"), END);
}

/* The first of a walk is not taken to be on the path: it is walked again from the third, and counts 1 there. */
static void
a_ring_of_three_is_cut_where_pycti_cuts_it(void **state)
{
    becomes(*state,
            OBJECT(A, ",'n_refs':['malware--b']") "," OBJECT(B, ",'n_refs':['malware--c']") "," OBJECT(
                C, ",'n_refs':['malware--a']"),
            OBJECT(C, ",'n_refs':['malware--a'],'nb_deps':2"), OBJECT(B, ",'n_refs':['malware--c'],'nb_deps':3"),
            OBJECT(A, ",'n_refs':['malware--b'],'nb_deps':4"), END);
}

static void
what_the_inner_walk_of_a_ring_drops_stays_dropped_of_a_single_reference(void **state)
{
    becomes(*state,
            OBJECT(A, ",'n_ref':'malware--b'") "," OBJECT(B, ",'n_ref':'malware--c'") "," OBJECT(
                C, ",'n_ref':'malware--a'"),
            OBJECT(C, ",'n_ref':'malware--a','nb_deps':2"), OBJECT(B, ",'n_ref':'malware--c','nb_deps':3"),
            OBJECT(A, ",'n_ref':null,'nb_deps':4"), END);
}

#define TWO                                             \
    "{'type':'malware','id':'malware--c','extensions':" \
    "{'extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba':{'id':'two'}}"

/* And then, as pycti has it, again by its own. */
static void
an_object_is_found_by_its_other_ids(void **state)
{
    static const char b[] = OBJECT(B, ",'x_opencti_id':'one','nb_deps':1");
    static const char c[] = OBJECT(
        C, ",'extensions':{'extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba':{'id':'two'}},'nb_deps':1");

    becomes(*state, OBJECT(A, ",'a_ref':'one','b_ref':'two'") "," OBJECT(B, ",'x_opencti_id':'one'") "," TWO "}",
            b, c, b, c, OBJECT(A, ",'a_ref':'one','b_ref':'two','nb_deps':3"), END);
    becomes(*state, OBJECT(B, ",'x_opencti_id':'one'") "," OBJECT(A, ",'a_ref':'one'"), b,
            OBJECT(A, ",'a_ref':'one','nb_deps':2"), END);
}

static void
one_that_refers_to_itself_by_another_id_goes_twice(void **state)
{
    becomes(*state, OBJECT(A, ",'x_opencti_id':'one','n_refs':['one']"),
            OBJECT(A, ",'x_opencti_id':'one','n_refs':['one'],'nb_deps':2"),
            OBJECT(A, ",'x_opencti_id':'one','n_refs':['one'],'nb_deps':2"), END);
}

static void
each_external_reference_stays_once_and_nameless_ones_go(void **state)
{
    becomes(
        *state,
        OBJECT(A, ",'external_references':[{'url':'u','source_name':'a'}, {'source_name':'s','external_id':'1'},"
                  "{'url':'\\u0075','source_name':'b'},{'source_name':'s'},{'external_id':'1','source_name':'s','url':"
                  "null}, {'url':'v'}]"),
        OBJECT(
            A,
            ",'external_references':[{'url':'u','source_name':'a'},{'source_name':'s','external_id':'1'},{'url':'v'}],"
            "'nb_deps':1"),
        END);
}

static void
each_kill_chain_phase_stays_once(void **state)
{
    becomes(
        *state,
        OBJECT(A, ",'kill_chain_phases':[{'phase_name':'p','kill_chain_name':'k'},{},{'kill_chain_name':'k','phase_"
                  "name':'p'},"
                  "{'phase_name':null},{'phase_name':1},{'phase_name':1.0}]"),
        OBJECT(A, ",'kill_chain_phases':[{'phase_name':'p','kill_chain_name':'k'},{},{'phase_name':1}],'nb_deps':1"),
        END);
}

/* A list of references with so many different urls, each twice; the second time in turned order. */
static char *
long_list(int n)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    (void)fprintf(f, "{'type':'malware','id':'malware--a','external_references':[");
    for (int i = 0; i < n; i++)
        (void)fprintf(f, "{'url':'https://example.org/%d'},", i);
    for (int i = n - 1; i >= 0; i--)
        (void)fprintf(f, "{'url':'https://example.org/%d'}%s", i, i > 0 ? "," : "");
    (void)fprintf(f, "]}");
    assert_int_equal(fclose(f), 0);
    return text;
}

static void
of_a_long_list_the_first_of_each_stays(void **state)
{
    struct world *w = *state;
    char *objects = long_list(500);
    int seen = 0;

    assert_int_equal(split_objects(w, objects), 0);
    (void)message(w, 0);
    for (const char *at = w->content; (at = strstr(at, "example.org/")) != NULL; seen++) {
        at += 12;
        assert_int_equal((int)strtol(at, NULL, 10), seen);
    }
    assert_int_equal(seen, 500);
    free(objects);
}

static void
what_the_platform_has_no_place_for_is_left_out_and_noted(void **state)
{
    struct world *w = *state;

    becomes(
        w,
        OBJECT(
            A,
            "") ",{'type':'x-other','id':'x-other--1'},{'type':'relationship','id':'relationship--1','source_ref':null,"
                "'target_ref':'malware--a'},{'type':'relationship','id':'relationship--2','source_ref':'malware--a'},"
                "{'type':'sighting','id':'sighting--1','sighting_of_ref':'malware--a','where_sighted_refs':['x-other--"
                "1']},"
                "{'type':'sighting','id':'sighting--2','where_sighted_refs':['malware--a']}",
        OBJECT(A, ",'nb_deps':1"), END);
    assert_int_equal(w->notes.incompatible, 5);
    assert_string_equal(w->notes.text, "no place in OpenCTI for: x-other--1 and 4 more");
    becomes(w, "{'type':'sighting','id':'sighting--1','sighting_of_ref':'z','where_sighted_refs':['y']}",
            "{'type':'sighting','id':'sighting--1','sighting_of_ref':'z','where_sighted_refs':['y'],'nb_deps':1}", END);
    assert_int_equal(w->notes.incompatible, 0);
    assert_string_equal(w->notes.text, "");
}

static void
empty_values_of_lists_are_no_fault(void **state)
{
    becomes(
        *state, OBJECT(A, ",'a_refs':null,'b_refs':[],'c_refs':'','d_refs':{},'external_references':null,'e_ref':null"),
        OBJECT(
            A,
            ",'a_refs':null,'b_refs':[],'c_refs':'','d_refs':{},'external_references':null,'e_ref':null,'nb_deps':1"),
        END);
    becomes(*state, OBJECT(A, ",'external_references':'','kill_chain_phases':{}"),
            OBJECT(A, ",'external_references':[],'kill_chain_phases':[],'nb_deps':1"), END);
}

static void
a_bundle_without_an_id_gets_one_that_is_always_the_same(void **state)
{
    struct world *w = *state;
    char first[64];

    assert_int_equal(split(w, "{'objects':[" OBJECT(A, "") "]}"), 0);
    (void)message(w, 0);
    assert_memory_equal(w->content, "{\"type\":\"bundle\",\"id\":\"bundle--", 31);
    (void)snprintf(first, sizeof(first), "%.36s", w->content + 31);
    assert_int_equal(first[14], '8');
    assert_int_equal(split(w, "{'objects':[" OBJECT(A, "") "]}"), 0);
    (void)message(w, 0);
    assert_memory_equal(w->content + 31, first, 36);
    assert_int_equal(split(w, "{'objects':[" OBJECT(B, "") "]}"), 0);
    (void)message(w, 0);
    assert_memory_not_equal(w->content + 31, first, 36);
}

/* --- Sizes -------------------------------------------------------------------------------------------------------- */

static void
a_message_above_what_the_broker_takes_refuses_the_bundle_by_name(void **state)
{
    struct world *w = *state;

    becomes(w, OBJECT(A, "") "," OBJECT(B, ",'n':'longer'"), OBJECT(A, ",'nb_deps':1"),
            OBJECT(B, ",'n':'longer','nb_deps':1"), END);
    w->ask.max_message = w->parts->largest;
    assert_int_equal(split_objects(w, OBJECT(A, "") "," OBJECT(B, ",'n':'longer'")), 0);
    w->ask.max_message--;
    assert_int_equal(split_objects(w, OBJECT(A, "") "," OBJECT(B, ",'n':'longer'")), -1);
    assert_int_equal(w->fault, FORMAT_TOO_LARGE);
    assert_non_null(strstr(w->err.text, "objects[1] (malware--b): its message has "));
    w->ask.options = "{\"no_split\":true}";
    assert_int_equal(split_objects(w, OBJECT(A, "") "," OBJECT(B, ",'n':'longer'")), -1);
    assert_int_equal(w->fault, FORMAT_TOO_LARGE);
}

static void
or_is_left_out_and_the_others_are_numbered_without_gaps(void **state)
{
    struct world *w = *state;

    w->ask.skip_large = true;
    w->ask.max_message = 400;
    assert_int_equal(
        split_objects(
            w, OBJECT(A, ",'n':'a long text a long text a long text a long text a long text a long text'") "," OBJECT(
                   B, "") "," OBJECT(C, "")),
        0);
    assert_int_equal(w->parts->n, 2);
    assert_int_equal(w->notes.too_large, 1);
    assert_string_equal(w->notes.text, "too large for the broker: malware--a");
    assert_non_null(strstr(message(w, 0), "\"action_sequence\":1,"));
    is_object(w, 0, OBJECT(B, ",'nb_deps':1"));
    assert_non_null(strstr(message(w, 1), "\"action_sequence\":2,"));
    is_object(w, 1, OBJECT(C, ",'nb_deps':1"));
    w->ask.max_message = 100;
    assert_int_equal(split_objects(w, OBJECT(A, "")), -1);
    assert_int_equal(w->fault, FORMAT_EMPTY);
    assert_string_equal(w->err.text, "nothing to import: too large for the broker: malware--a");
}

static void
check_sums(struct world *w)
{
    uint64_t bytes = 0, largest = 0;

    for (uint32_t i = 0; i < w->parts->n; i++) {
        const uint64_t size = w->parts->kind->size(w->parts, i);
        char number[64];
        (void)snprintf(number, sizeof(number), ",\"action_sequence\":%u,", i + 1);
        assert_non_null(strstr(message(w, i), number));
        assert_int_equal(strlen(w->message), size);
        bytes += size;
        largest = size > largest ? size : largest;
    }
    assert_int_equal(w->parts->bytes, bytes);
    assert_int_equal(w->parts->largest, largest);
}

static void
sums_are_those_of_the_messages(void **state)
{
    struct world *w = *state;
    char objects[4096] = "";

    for (int i = 0; i < 110; i++)
        (void)snprintf(objects + strlen(objects), sizeof(objects) - strlen(objects), "%s{'type':'x','id':'i%d'%s}",
                       i > 0 ? "," : "", i, i == 0 ? ",'n':'a long text that is left out'" : "");
    assert_int_equal(split_objects(w, objects), 0);
    assert_int_equal(w->parts->n, 110);
    check_sums(w);
    w->ask.skip_large = true;
    w->ask.max_message = w->parts->largest - 1;
    assert_int_equal(split_objects(w, objects), 0);
    assert_int_equal(w->parts->n, 109);
    check_sums(w);
    for (uint32_t i = 0; i < w->parts->n; i++)
        assert_false(parts_went(w->parts, i));
    parts_confirm(w->parts, 108);
    parts_confirm(w->parts, 108);
    assert_true(parts_went(w->parts, 108));
    assert_int_equal(w->parts->went, 1);
}

static void
chunks_end_anywhere(void **state)
{
    struct world *w = *state;
    char *text = quoted("{'id':'bundle--1','objects':[" OBJECT(A, ",'t':'\xc3\xa9'") "]}");

    for (size_t each = 1; each <= strlen(text); each++) {
        assert_int_equal(split_chunks(w, text, strlen(text), each), 0);
        is_object(w, 0, OBJECT(A, ",'t':'\xc3\xa9','nb_deps':1"));
    }
    free(text);
}

/* --- What is no bundle -------------------------------------------------------------------------------------------- */

static const struct {
    const char *text, *words;
} bad[] = {
    {"", "byte 0: it is empty"},
    {"  ", "byte 2: it is empty"},
    {"[]", "byte 0: no bundle: it is no JSON object"},
    {"null", "byte 0: no bundle: it is no JSON object"},
    {"\xef\xbb\xbf{}", "byte 0: a byte order mark"},
    {"{}", "byte 0: no bundle: it has no \"objects\""},
    {"{'id':'b','type':'report','objects':[]}", "byte 17: no bundle: its type is another"},
    {"{'id':'b','type':1,'objects':[]}", "byte 17: no bundle: its type is no text"},
    {"{'id':1,'objects':[]}", "byte 6: the bundle's id is no text"},
    {"{'objects':{}}", "byte 11: \"objects\" is no list"},
    {"{'objects':[]} x", "byte 15: bytes behind the end of the bundle"},
    {"{'objects':[]}{}", "byte 14: bytes behind the end of the bundle"},
    {"{'objects':[],}", "byte 14: a key in quotes is missing"},
    {"{'objects':[{}]", "byte 12, objects[0]: it has no id"},
    {"{'objects':[{'id':'a','type':'b'}", "byte 33, objects[0] (a): it ends too early"},
    {"{'objects':[{'id':'a','type':'b'} {", "byte 34, objects[0] (a): a comma or the end of the list is missing"},
    {"{'objects':[{'id':'a','type':'b'},]}", "byte 34, objects[1]: it is no object"},
    {"{'objects':[1]}", "byte 12, objects[0]: it is no object"},
    {"{'objects':[{'type':'a'}]}", "byte 12, objects[0]: it has no id"},
    {"{'objects':[{'id':'a'}]}", "byte 12, objects[0] (a): it has no type"},
    {"{'objects':[{'id':5}]}", "byte 18, objects[0]: its id is no text"},
    {"{'objects':[{'id':'a','type':null}]}", "byte 29, objects[0] (a): its type is no text"},
    {"{'objects':[{'id':'a','n_ref':5}]}", "byte 30, objects[0] (a): a reference that is no text"},
    {"{'objects':[{'id':'a','n_ref':[]}]}", "byte 30, objects[0] (a): a reference that is no text"},
    {"{'objects':[{'id':'a','n_refs':['b',null]}]}", "byte 36, objects[0] (a): a reference that is no text"},
    {"{'objects':[{'id':'a','n_refs':'b'}]}", "byte 31, objects[0] (a): references that are no list"},
    {"{'objects':[{'id':'a','n_refs':{'b':1}}]}", "byte 31, objects[0] (a): references that are no list"},
    {"{'objects':[{'id':'a','n_refs':false}]}", "byte 31, objects[0] (a): references that are no list"},
    {"{'objects':[{'id':'a','external_references':[1]}]}",
     "byte 45, objects[0] (a): an external reference or kill chain phase that is no object"},
    {"{'objects':[{'id':'a','external_references':5}]}",
     "byte 44, objects[0] (a): external references or kill chain phases that are no list"},
    {"{'objects':[{'id':'a','external_references':[{'url':['u']}]}]}",
     "byte 52, objects[0] (a): what a reference or phase is told by is no text"},
    {"{'objects':[],'objects':[]}", "byte 14: a key that its object has already"},
    {"{'objects':[{'id':'a','i\\u0064':'b'}]}", "byte 22, objects[0] (a): a key that its object has already"},
    {"{'x':{'a':1,'b':2,'a':3},'objects':[]}", "byte 18: a key that its object has already"},
    {"{'x':'\x80'}", "byte 6: a byte that is not UTF-8"},
    {"{'x':'\xc0\xaf'}", "byte 6: a byte that is not UTF-8"},
    {"{'x':'\xed\xa0\x80'}", "byte 6: a byte that is not UTF-8"},
    {"{'x':'\xf4\x90\x80\x80'}", "byte 6: a byte that is not UTF-8"},
    {"{'x':'\xe2\x82'}", "byte 6: a byte that is not UTF-8"},
    {"{'x':'a\\ud800b'}", "byte 7: half of a surrogate pair"},
    {"{'x':'\\udc00\\ud800'}", "byte 6: half of a surrogate pair"},
    {"{'x':'\\ud800\\u0041'}", "byte 6: half of a surrogate pair"},
    {"{'x':'\\u12g4'}", "byte 6: an escape that JSON does not have"},
    {"{'x':'\\x41'}", "byte 6: an escape that JSON does not have"},
    {"{'x':'\t'}", "byte 6: a control character in a string"},
    {"{'x':'abc", "byte 9: it ends too early"},
    {"{'x':tru}", "byte 5: a value is missing"},
    {"{'x':NaN}", "byte 5: a value is missing"},
    {"{'x':01}", "byte 6: a comma or the end of the object is missing"},
    {"{'x':-}", "byte 6: a number that is none"},
    {"{'x':1.}", "byte 7: a number that is none"},
    {"{'x':1e+}", "byte 8: a number that is none"},
    {"{'x' 1}", "byte 5: a colon is missing"},
    {"{'x':[1 2]}", "byte 8: a comma or the end of the list is missing"},
    {"{'x':[1,]}", "byte 8: a value is missing"},
    {"{'x':{1:2}}", "byte 6: a key in quotes is missing"},
    {"{x:1}", "byte 1: a key in quotes is missing"},
};

static void
what_is_no_bundle_is_refused_with_the_place(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(split(w, bad[i].text), -1);
        assert_string_equal(w->err.text, bad[i].words);
        assert_int_equal(w->fault, FORMAT_MALFORMED);
        assert_int_equal(w->err.code, ERR_PROTO);
    }
}

static void
a_zero_byte_is_refused(void **state)
{
    static const char text[] = "{\"objects\":[]\0}";
    struct world *w = *state;

    assert_int_equal(split_chunks(w, text, sizeof(text) - 1, 100), -1);
    assert_string_equal(w->err.text, "byte 13: a comma or the end of the object is missing");
}

static void
nothing_to_import_is_said(void **state)
{
    struct world *w = *state;

    assert_int_equal(split_objects(w, ""), -1);
    assert_int_equal(w->fault, FORMAT_EMPTY);
    assert_string_equal(w->err.text, "nothing to import: the bundle has no objects");
    assert_int_equal(split_objects(w, "{'type':'x','id':'x-other--1'}"), -1);
    assert_int_equal(w->fault, FORMAT_EMPTY);
    assert_string_equal(w->err.text, "nothing to import: no place in OpenCTI for: x-other--1");
}

static char *
nested(uint32_t depth, const char *open, const char *close)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    (void)fprintf(f, "{'id':'bundle--1','objects':[" OBJECT(A, "") "],'x':");
    for (uint32_t i = 0; i < depth; i++)
        (void)fputs(open, f);
    (void)fputs("1", f);
    for (uint32_t i = 0; i < depth; i++)
        (void)fputs(close, f);
    (void)fputs("}", f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void
what_is_nested_too_deeply_is_refused(void **state)
{
    static const struct {
        const char *open, *close;
        uint32_t depth;
        int rc;
    } kinds[] = {
        {"[", "]", 1024, 0},
        {"[", "]", 1025, -1},
        {"[", "]", 10000, -1},
        {"{'a':", "}", 1024, 0},
        {"{'a':", "}", 10000, -1},
        {"[{'a':", "}]", 512, 0},
        {"[{'a':", "}]", 513, -1},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char *text = nested(kinds[i].depth, kinds[i].open, kinds[i].close);
        assert_int_equal(split(w, text), kinds[i].rc);
        if (kinds[i].rc != 0)
            assert_non_null(strstr(w->err.text, ": it is nested too deeply"));
        free(text);
    }
}

/* An object with so many keys; the last is the one of this number. */
static char *
with_keys(int n, int last)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    (void)fprintf(f, "{'id':'bundle--1','objects':[" OBJECT(A, "") "],'x':{");
    for (int i = 0; i < n; i++)
        (void)fprintf(f, "'k%d':%d,", i, i);
    (void)fprintf(f, "'k\\u00%x%03d':0}}", '0' + last / 1000, last % 1000);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void
a_key_is_found_twice_among_many(void **state)
{
    struct world *w = *state;

    for (int n = 1100; n <= 3000; n += 950) {
        char *unique = with_keys(n, n + 1000), *twice = with_keys(n, 1050);
        assert_int_equal(split(w, unique), 0);
        assert_int_equal(split(w, twice), -1);
        assert_non_null(strstr(w->err.text, ": a key that its object has already"));
        assert_int_equal((int)strtol(w->err.text + 5, NULL, 10), strrchr(twice, 'k') - 1 - twice);
        free(unique);
        free(twice);
    }
}

static void
what_is_to_stop_is_given_up(void **state)
{
    atomic_bool stop = false;
    struct world *w = *state;
    const char *text = "{'id':'bundle--1','objects':[" OBJECT(A, "") "]}";

    w->ask.stop = &stop;
    assert_int_equal(split(w, text), 0);
    stop = true;
    assert_int_equal(split(w, text), -1);
    assert_int_equal(w->fault, FORMAT_NOMEM);
}

/* --- Large ones --------------------------------------------------------------------------------------------------- */

/* A chain of objects, each of which refers to the next. */
static char *
chain(uint32_t n)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    (void)fputs("{\"id\":\"bundle--1\",\"objects\":[", f);
    for (uint32_t i = 0; i < n; i++)
        (void)fprintf(f, "%s{\"id\":\"n%u\",\"type\":\"x\",\"n_ref\":\"n%u\"}", i > 0 ? "," : "", i, i + 1);
    (void)fputs("]}", f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void
a_chain_of_a_million_references_is_walked(void **state)
{
    enum { LINKS = 1000000 };
    struct world *w = *state;
    char *text = chain(LINKS);

    assert_int_equal(split_chunks(w, text, strlen(text), 65536), 0);
    assert_int_equal(w->parts->n, LINKS);
    is_object(w, 0, "{'id':'n999999','type':'x','n_ref':'n1000000','nb_deps':1}");
    is_object(w, LINKS - 1, "{'id':'n0','type':'x','n_ref':'n1','nb_deps':1000000}");
    free(text);
}

/* Each refers to the next twice: the count doubles. */
static void
a_count_that_doubles_ends_at_its_bound(void **state)
{
    struct world *w = *state;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    (void)fputs("{\"id\":\"bundle--1\",\"objects\":[", f);
    for (int i = 0; i < 70; i++)
        (void)fprintf(f, "{\"id\":\"n%d\",\"type\":\"x\",\"n_refs\":[\"n%d\",\"n%d\"]},", i, i + 1, i + 1);
    (void)fputs("{\"id\":\"n70\",\"type\":\"x\"}]}", f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(split_chunks(w, text, strlen(text), 65536), 0);
    (void)message(w, 62);
    assert_non_null(strstr(w->content, "\"x_opencti_seq\":9223372036854775807,"));
    assert_non_null(strstr(w->content, "{\"id\":\"n8\""));
    (void)message(w, 70);
    assert_non_null(strstr(w->content, "\"x_opencti_seq\":9223372036854775807,"));
    assert_non_null(strstr(w->content, "{\"id\":\"n0\""));
    (void)message(w, 61);
    assert_non_null(strstr(w->content, "\"x_opencti_seq\":4611686018427387903,"));
    free(text);
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

/* One of everything that needs memory. */
static char *
one_of_each(void)
{
    char *list = long_list(40), *text;

    assert_true(asprintf(&text,
                         "{'objects':[%s,{'type':'report','id':'report--\\u0061','x_opencti_id':'i\\u0061','object_"
                         "refs':['malware--a','report--z'],"
                         "'n_ref':'malware--a'},{'type':'tool','id':'tool--1','n_refs':['report--a','malware--a']},{'"
                         "type':'x','id':'x--x'}]}",
                         list) > 0);
    free(list);
    return text;
}

static void
each_allocation_may_fail(void **state)
{
    struct world *w = *state;
    char *text = one_of_each(), *bytes = quoted(text);
    struct chunk chunk = {.at = bytes, .len = strlen(bytes)};
    const struct body body = {.size = chunk.len, .have = chunk.len, .n = 1, .cap = 1, .chunks = &chunk, .ctype = ""};
    uint64_t n = 0;
    int rc;

    w->ask.body = &body;
    w->ask.options = "{\"work_id\":\"w\",\"other\":[1]}";
    w->ask.options_len = strlen(w->ask.options);
    do {
        heap_double.left = ++n;
        rc = opencti_parts(&w->ask, &w->parts, &w->notes, &w->fault, &w->err);
        const bool all_went = heap_double.left > 0;
        heap_double.left = 0;
        if (rc == 0) {
            assert_true(all_went);
            break;
        }
        assert_int_equal(w->fault, FORMAT_NOMEM);
        assert_int_equal(w->err.code, ERR_NOMEM);
        w->parts = NULL;
    } while (n < 1000);
    assert_int_equal(rc, 0);
    assert_true(n > 15);
    assert_int_equal(w->parts->n, 3);
    free(text);
    free(bytes);
}

/* A few bytes each: what is known of each reference would be more than all of the bundle. */
static void
a_bundle_that_would_cost_too_much_is_refused(void **state)
{
    struct world *w = *state;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    (void)fputs("{\"id\":\"bundle--1\",\"objects\":[{\"id\":\"n\",\"type\":\"x\",\"n_refs\":[", f);
    for (int i = 0; i < 1600000; i++)
        (void)fprintf(f, "%s\"%x\"", i > 0 ? "," : "", i);
    (void)fputs("]}]}", f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(split_chunks(w, text, len, 65536), -1);
    assert_int_equal(w->fault, FORMAT_MALFORMED);
    assert_non_null(strstr(w->err.text, "more than 6 times its"));
    free(text);
}

/* JSON that a parser of others reads, whatever was changed. */
static void
contents_are_json(void **state)
{
    struct world *w = *state;
    char *text = one_of_each();

    assert_int_equal(split(w, text), 0);
    for (uint32_t i = 0; i < w->parts->n; i++) {
        json_t *json = json_loads(message(w, i), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        json_decref(json);
        json = json_loads(w->content, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        json_decref(json);
    }
    free(text);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_message_has_the_envelope_that_workers_read),
        T(options_go_into_the_envelope),
        T(unknown_options_go_through_as_they_came),
        T(wrong_options_are_named),
        T(an_event_version_is_in_the_bundle_of_each_object),
        T(a_bundle_that_is_not_to_be_split_goes_as_it_came),
        T(dependencies_go_first_and_are_counted),
        T(objects_of_as_many_dependencies_keep_their_order),
        T(of_objects_with_one_id_the_last_goes),
        T(what_comes_is_not_written_anew),
        T(a_count_that_came_along_is_replaced),
        T(keys_and_ids_are_told_by_what_they_say),
        T(characters_outside_the_first_plane_are_told_by_what_they_say),
        T(a_reference_to_what_is_no_type_of_the_platform_goes),
        T(a_reference_to_what_is_not_there_stays),
        T(in_a_cleanup_it_goes),
        T(a_reference_twice_in_a_list_is_counted_twice_and_kept_once),
        T(a_reference_to_itself_goes),
        T(of_two_that_refer_to_each_other_the_second_does_not),
        T(a_ring_of_three_is_cut_where_pycti_cuts_it),
        T(what_the_inner_walk_of_a_ring_drops_stays_dropped_of_a_single_reference),
        T(an_object_is_found_by_its_other_ids),
        T(one_that_refers_to_itself_by_another_id_goes_twice),
        T(each_external_reference_stays_once_and_nameless_ones_go),
        T(each_kill_chain_phase_stays_once),
        T(of_a_long_list_the_first_of_each_stays),
        T(what_the_platform_has_no_place_for_is_left_out_and_noted),
        T(empty_values_of_lists_are_no_fault),
        T(a_bundle_without_an_id_gets_one_that_is_always_the_same),
        T(a_message_above_what_the_broker_takes_refuses_the_bundle_by_name),
        T(or_is_left_out_and_the_others_are_numbered_without_gaps),
        T(sums_are_those_of_the_messages),
        T(chunks_end_anywhere),
        T(what_is_no_bundle_is_refused_with_the_place),
        T(a_zero_byte_is_refused),
        T(nothing_to_import_is_said),
        T(what_is_nested_too_deeply_is_refused),
        T(a_key_is_found_twice_among_many),
        T(what_is_to_stop_is_given_up),
        T(a_chain_of_a_million_references_is_walked),
        T(a_count_that_doubles_ends_at_its_bound),
        T(each_allocation_may_fail),
        T(a_bundle_that_would_cost_too_much_is_refused),
        T(contents_are_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
