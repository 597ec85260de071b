/* format.c - what does splitting bundles for OpenCTI cost, beside pycti?
 *
 * Three cases: ATT&CK for industrial control systems as it is published (laid out for people), a bundle for each entry
 * of the KEV catalogue, and 64 MiB of indicators with their relationships.  A round splits each bundle of a case and
 * writes all of its messages; pycti's splitter, with its envelope around, does the same by bench/format_pycti.py, in
 * the same run.  CPU time is counted, so that what else the machine does is left out as far as it can be.
 *
 *   throughput_mb_s   bytes of bundles a second (10^6)
 *   memory_ratio      how much the resident memory of a fresh process grows at its peak, by the bytes of the bundle;
 * what the
 *                     bundle itself takes was there before
 *   speedup           pycti's time by ours
 *
 * usage: format [--quick] */
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "body.h"
#include "err.h"
#include "formats/format.h"
#include "parts.h"
#include "report.h"

enum { ROUNDS = 7, QUICK_ROUNDS = 3, SYNTHETIC_MIB = 64, LEAST_MS = 200, MEMORY_LEAST = 1 << 20 };

struct texts {
    char  **v;
    size_t *len;
    size_t  n, bytes;
};

struct bench {
    struct report *report;
    size_t rounds;
    bool   quick;
    char   dir[600];    /* where figures and bundles go */
    char   python[700]; /* one that has pycti; "" for none */
};

static void
die(const char *what)
{
    fprintf(stderr, "format: no figures: %s\n", what);
    exit(1);
}

static void
texts_add(struct texts *t, char *text, size_t len)
{
    if (text == NULL)
        die("no memory");
    if ((t->n & (t->n - 1)) == 0) {
        const size_t cap = t->n == 0 ? 1 : t->n * 2;
        t->v = realloc(t->v, cap * sizeof(*t->v));
        t->len = realloc(t->len, cap * sizeof(*t->len));
        if (t->v == NULL || t->len == NULL)
            die("no memory");
    }
    t->v[t->n] = text;
    t->len[t->n++] = len;
    t->bytes += len;
}

static void
texts_free(struct texts *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->v[i]);
    free(t->v);
    free(t->len);
    *t = (struct texts){.n = 0};
}

/* --- The bundles -------------------------------------------------------------------------------------------------- */

static const char *
shared(const char *name, char *buf, size_t cap)
{
    const char *folder = getenv("SLUICE_SHARED");

    (void)snprintf(buf, cap, "%s/data/%s", folder != NULL ? folder : "../shared", name);
    return access(buf, R_OK) == 0 ? buf : NULL;
}

/* false: it is not there. */
static bool
attack(struct texts *t)
{
    char path[600];
    struct stat st;
    FILE *f = shared("ics-attack.json", path, sizeof(path)) == NULL ? NULL : fopen(path, "re");

    if (f == NULL || fstat(fileno(f), &st) != 0)
        return false;
    char *text = malloc((size_t)st.st_size);

    if (text == NULL || fread(text, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
        die("ics-attack.json cannot be read");
    (void)fclose(f);
    texts_add(t, text, (size_t)st.st_size);
    return true;
}

/* Six objects: what connectors make of an entry. */
static json_t *
kev_bundle(json_t *entry)
{
    const char *cve = json_string_value(json_object_get(entry, "cveID"));
    const char *says = json_string_value(json_object_get(entry, "shortDescription"));
    const char *product = json_string_value(json_object_get(entry, "product"));

    return json_pack("{s:s,s:s+,s:["
                     "{s:s,s:s+,s:[s+,s+]},"
                     "{s:s,s:s+,s:s,s:s+,s:s+,s:s,s:[s]},"
                     "{s:s,s:s+,s:s,s:s,s:s,s:[s],s:[{s:s,s:s},{s:s,s:s+},{s:s,s:s+}]},"
                     "{s:s,s:s+,s:s},{s:s,s:s,s:s},{s:s,s:s}]}",
                     "type", "bundle", "id", "bundle--", cve, "objects", "type", "report", "id", "report--", cve,
                     "object_refs", "relationship--", cve, "vulnerability--", cve, "type", "relationship", "id",
                     "relationship--", cve, "relationship_type", "has", "source_ref", "software--", product,
                     "target_ref", "vulnerability--", cve, "created_by_ref", "identity--cisa", "object_marking_refs",
                     "marking-definition--1", "type", "vulnerability", "id", "vulnerability--", cve, "name", cve,
                     "description", says, "created_by_ref", "identity--cisa", "object_marking_refs",
                     "marking-definition--1", "external_references", "source_name", "cve", "external_id", cve,
                     "source_name", "NVD", "url", "https://nvd.nist.gov/vuln/detail/", cve, "source_name", "CVE", "url",
                     "https://www.cve.org/CVERecord?id=", cve, "type", "software", "id", "software--", product, "name",
                     product, "type", "identity", "id", "identity--cisa", "name", "CISA", "type", "marking-definition",
                     "id", "marking-definition--1");
}

static bool
kev(struct texts *t)
{
    char path[600];
    json_t *feed = shared("known_exploited_vulnerabilities.json", path, sizeof(path)) == NULL
                       ? NULL
                       : json_load_file(path, 0, NULL);
    const json_t *entries = json_object_get(feed, "vulnerabilities");

    if (feed == NULL)
        return false;
    for (size_t i = 0; i < json_array_size(entries); i++) {
        json_t *bundle = kev_bundle(json_array_get(entries, i));
        char *text = json_dumps(bundle, 0);
        json_decref(bundle);
        texts_add(t, text, text == NULL ? 0 : strlen(text));
    }
    json_decref(feed);
    return true;
}

static void
put_indicator(FILE *f, int i)
{
    (void)fprintf(
        f,
        "{\"type\": \"indicator\", \"spec_version\": \"2.1\", \"id\": \"indicator--%08x-1111-4111-8111-111111111111\", "
        "\"created_by_ref\": \"identity--11111111-1111-4111-8111-111111111111\", \"created\": "
        "\"2026-01-01T00:00:00.000Z\", "
        "\"modified\": \"2026-01-01T00:00:00.000Z\", \"name\": \"Indicator %d\", \"description\": \"Seen in a "
        "campaign; "
        "caf\xc3\xa9 and \\\"quotes\\\" and what an analyst has to say about it, in a sentence or two of plain "
        "text.\", "
        "\"pattern\": \"[ipv4-addr:value = '10.%d.%d.%d']\", \"pattern_type\": \"stix\", \"valid_from\": "
        "\"2026-01-01T00:00:00Z\", \"labels\": [\"malicious-activity\"], \"x_opencti_score\": %d, "
        "\"object_marking_refs\": "
        "[\"marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9\"], \"external_references\": [{\"source_name\": "
        "\"feed\", \"url\": \"https://example.org/indicators/%d\"}], \"kill_chain_phases\": [{\"kill_chain_name\": "
        "\"mitre-attack\", \"phase_name\": \"impact\"}]}, ",
        i, i, i >> 16 & 255, i >> 8 & 255, i & 255, i % 100, i);
}

static void
put_relationship(FILE *f, int i)
{
    (void)fprintf(
        f,
        "{\"type\": \"relationship\", \"spec_version\": \"2.1\", \"id\": "
        "\"relationship--%08x-1111-4111-8111-111111111111\", "
        "\"relationship_type\": \"indicates\", \"source_ref\": \"indicator--%08x-1111-4111-8111-111111111111\", "
        "\"target_ref\": \"malware--%08x-1111-4111-8111-111111111111\", \"created_by_ref\": "
        "\"identity--11111111-1111-4111-8111-111111111111\", \"created\": \"2026-01-01T00:00:00.000Z\"}, ",
        i, i, i / 1000);
}

static void
synthetic(struct texts *t)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (f == NULL)
        die("no memory");
    (void)fputs("{\"type\": \"bundle\", \"id\": \"bundle--1\", \"objects\": [", f);
    for (int i = 0; ftell(f) < (long)SYNTHETIC_MIB << 20; i++) {
        put_relationship(f, i);
        put_indicator(f, i);
        if (i % 1000 == 0)
            (void)fprintf(
                f,
                "{\"type\": \"malware\", \"id\": \"malware--%08x-1111-4111-8111-111111111111\", \"is_family\": true}, ",
                i / 1000);
    }
    (void)fputs(
        "{\"type\": \"identity\", \"id\": \"identity--11111111-1111-4111-8111-111111111111\", \"name\": \"Us\"}]}", f);
    if (fclose(f) != 0)
        die("no memory");
    texts_add(t, text, len);
}

/* --- Ours --------------------------------------------------------------------------------------------------------- */

static double
cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Split a bundle and write its messages, one after the other into the same buffer; how many. */
static uint32_t
run_one(const char *text, size_t len, char **buffer, size_t *cap)
{
    struct chunk chunk = {.at = text, .len = len};
    const struct body body = {.size = len, .have = len, .n = 1, .cap = 1, .chunks = &chunk, .ctype = ""};
    const struct format_ask ask = {.body = &body, .options = "", .applicant_id = "bench", .max_message = 1 << 29};
    struct format_notes notes;
    enum format_fault fault;
    struct err err;
    struct parts *p;

    if (opencti_parts(&ask, &p, &notes, &fault, &err) != 0)
        die(err.text);
    if (p->largest > *cap) {
        free(*buffer);
        *cap = p->largest;
        *buffer = malloc(*cap);
        if (*buffer == NULL)
            die("no memory");
    }
    for (uint32_t i = 0; i < p->n; i++)
        p->kind->write(p, i, *buffer);
    const uint32_t n = p->n;

    parts_free(p);
    return n;
}

static uint64_t
run_all(const struct texts *t)
{
    char *buffer = NULL;
    size_t cap = 0;
    uint64_t messages = 0;

    for (size_t i = 0; i < t->n; i++)
        messages += run_one(t->v[i], t->len[i], &buffer, &cap);
    free(buffer);
    return messages;
}

/* Seconds of one pass; as many passes as make LEAST_MS. */
static double
round_s(const struct texts *t)
{
    const double since = cpu_s();
    double took;
    int passes = 0;

    do {
        (void)run_all(t);
        passes++;
        took = cpu_s() - since;
    } while (took * 1000 < LEAST_MS);
    return took / passes;
}

/* VmHWM of /proc/self/status. */
static long
peak_kib(void)
{
    char line[200];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "re");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (f == NULL || kib < 0)
        die("the peak of the memory is not known");
    (void)fclose(f);
    return kib;
}

/* The kernel counts the peak anew (proc(5), clear_refs). */
static void
forget_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "we");

    if (f == NULL || fputs("5", f) < 0 || fclose(f) != 0)
        die("the peak of the memory cannot be counted anew");
}

/* In a child, so that one case does not show in the next. */
static double
memory_ratio(const struct texts *t)
{
    int ends[2];
    double ratio = -1;

    if (pipe(ends) != 0)
        die("no pipe");
    const pid_t pid = fork();

    if (pid == 0) {
        /* What was freed before is not to be had for nothing; the peak is counted from what is resident now. */
        (void)malloc_trim(0);
        forget_peak();
        const long before = peak_kib();
        (void)run_all(t);
        ratio = (double)(peak_kib() - before) * 1024 / (double)t->bytes;
        _exit(write(ends[1], &ratio, sizeof(ratio)) == sizeof(ratio) ? 0 : 1);
    }
    (void)close(ends[1]);
    if (pid < 0 || read(ends[0], &ratio, sizeof(ratio)) != sizeof(ratio))
        die("the memory of a child is not known");
    (void)close(ends[0]);
    (void)waitpid(pid, NULL, 0);
    return ratio;
}

/* --- pycti's ------------------------------------------------------------------------------------------------------ */

/* Seconds of CPU that pycti takes for one pass, of each round; how many rounds there are. */
static size_t
pycti_s(const struct bench *b, const char *path, size_t rounds, uint64_t *ret_messages, double *ret)
{
    char command[2000], line[100];
    size_t n = 0;

    (void)snprintf(command, sizeof(command), "'%s' bench/format_pycti.py '%s' %zu", b->python, path, rounds);
    FILE *f = popen(command, "re"); /* NOLINT(cert-env33-c): a bench, of its own paths */

    if (f == NULL)
        return 0;
    while (n < rounds && fgets(line, sizeof(line), f) != NULL) {
        char *end;
        ret[n++] = strtod(line, &end);
        *ret_messages = strtoull(end, NULL, 10);
    }
    return pclose(f) == 0 ? n : 0;
}

static void
keep(const struct texts *t, const char *path)
{
    FILE *f = fopen(path, "we");

    if (f == NULL)
        die("the bundles cannot be kept for pycti");
    for (size_t i = 0; i < t->n; i++) {
        (void)fprintf(f, "%zu\n", t->len[i]);
        (void)fwrite(t->v[i], 1, t->len[i], f);
    }
    if (fclose(f) != 0)
        die("the bundles cannot be kept for pycti");
}

static void
compare(const struct bench *b, const char *name, const struct texts *t, const double *ours)
{
    const size_t rounds = t->bytes > 16 << 20 ? 1 : b->rounds;
    double theirs[REPORT_ROUNDS_MAX], speedup[REPORT_ROUNDS_MAX];
    uint64_t messages = 0;
    char path[700];

    if (b->python[0] == '\0')
        return;
    (void)snprintf(path, sizeof(path), "%s/format-bundles", b->dir);
    keep(t, path);
    const size_t n = pycti_s(b, path, rounds, &messages, theirs);

    (void)unlink(path);
    if (n == 0) {
        printf("%s: no speedup: pycti failed\n", name);
        return;
    }
    if (messages != run_all(t))
        die("pycti makes another number of messages");
    for (size_t i = 0; i < n; i++)
        speedup[i] = theirs[i] / ours[i];
    report_add(b->report, name, "speedup", speedup, n, "ratio");
    report_add(b->report, name, "pycti_s", theirs, n, "s");
}

static void
run_case(struct bench *b, const char *name, struct texts *t)
{
    double seconds[REPORT_ROUNDS_MAX], rate[REPORT_ROUNDS_MAX], ratio[REPORT_ROUNDS_MAX];

    printf("%s: %zu bundles, %zu bytes, %llu messages\n", name, t->n, t->bytes, (unsigned long long)run_all(t));
    for (size_t i = 0; i < b->rounds; i++)
        ratio[i] = memory_ratio(t);
    for (size_t i = 0; i < b->rounds; i++) {
        seconds[i] = round_s(t);
        rate[i] = (double)t->bytes / seconds[i] / 1e6;
    }
    report_add(b->report, name, "throughput_mb_s", rate, b->rounds, "MB/s");
    /* What is fixed is much of a small bundle. */
    if (t->n == 1 && t->bytes >= MEMORY_LEAST)
        report_add(b->report, name, "memory_ratio", ratio, b->rounds, "ratio");
    compare(b, name, t, seconds);
    texts_free(t);
}

/* The Python of tests/system/opencti_pycti_test.sh, or PYCTI_PYTHON. */
static void
find_pycti(struct bench *b)
{
    const char *build = getenv("SLUICE_BUILD"), *python = getenv("PYCTI_PYTHON");

    if (build == NULL)
        build = "build";
    (void)snprintf(b->dir, sizeof(b->dir), "%s/bench", build);
    (void)mkdir(b->dir, 0777);
    if (python != NULL)
        (void)snprintf(b->python, sizeof(b->python), "%s", python);
    else
        (void)snprintf(b->python, sizeof(b->python), "%s/pycti-venv/bin/python", build);
    if (access(b->python, X_OK) == 0)
        return;
    printf("no speedup: there is no %s with pycti (tests/system/opencti_pycti_test.sh installs it)\n", b->python);
    b->python[0] = '\0';
}

int
main(int argc, char **argv)
{
    struct bench b = {.report = report_new("format"), .rounds = ROUNDS};
    struct texts t = {.n = 0};
    struct err err;
    char path[700];

    b.quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    if (b.quick)
        b.rounds = QUICK_ROUNDS;
    find_pycti(&b);
    if (attack(&t))
        run_case(&b, "ics-attack", &t);
    else
        printf("ics-attack: left out: set SLUICE_SHARED to the folder that has data/\n");
    if (kev(&t))
        run_case(&b, "kev", &t);
    else
        printf("kev: left out: set SLUICE_SHARED to the folder that has data/\n");
    synthetic(&t);
    run_case(&b, "synthetic 64MiB", &t);
    report_print(b.report);
    (void)snprintf(path, sizeof(path), "%s/format.jsonl", b.dir);
    if (report_write(b.report, path, &err) != 0)
        die(err.text);
    printf("figures: %s\n", path);
    report_free(b.report);
    return 0;
}
