/* A plugin in C that calls every function of the host, rightly and wrongly, and gives up by name at the first surprise.
 * Its configuration is the path of a file in which it reports what happened after stop. */
#define _POSIX_C_SOURCE 200809L
#include "millrace_plugin.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

MILLRACE_PLUGIN_NOTE("calls/1");

#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
#define CHECK(condition)                                                                                   \
    do {                                                                                                   \
        if (!(condition)) {                                                                                \
            host->fatal(host->context, MILLRACE_E_FATAL, millrace_text("line " TEXT(__LINE__) ": " #condition)); \
            return MILLRACE_E_FATAL;                                                                       \
        }                                                                                                  \
    } while (0)

enum { FIRST_TIMER = 1000, TIMERS = 1024, BUILD = 1, VERDICT = 2, GET = 3, PUT = 4, REMOVE = 5, HELD = 6, HEAD = 7 };

static const MillraceHost *host;
static int completions[FIRST_TIMER + TIMERS];
static MillraceStatus endings[FIRST_TIMER + TIMERS];
static MillraceBuffer kept;
static int proposals, credits, ready;
static char report[4096];

static MillraceBytes of(const void *data, uint64_t len)
{
    MillraceBytes bytes = {data, len};
    return bytes;
}

static MillraceBuildRequest a_request(void)
{
    MillraceBuildRequest request = {.size = sizeof request, .flags = MILLRACE_BUILD_EMPTY, .max_bytes = 99};
    memset(request.parent_hash.bytes, 5, 32);
    memset(request.proposer.bytes, 6, 32);
    request.consensus_data = millrace_text("hello");
    return request;
}

static MillraceStatus refusals(void)
{
    void *context = host->context;
    MillraceBuildRequest request = a_request();
    CHECK(host->request_block(NULL, BUILD, &request) == MILLRACE_INVALID);
    CHECK(host->request_block(context, 0, &request) == MILLRACE_INVALID);
    CHECK(host->request_block(context, BUILD, NULL) == MILLRACE_INVALID);
    request.size = 16;
    CHECK(host->request_block(context, BUILD, &request) == MILLRACE_INVALID);
    request = a_request();
    request.consensus_data = of(NULL, 3);
    CHECK(host->request_block(context, BUILD, &request) == MILLRACE_INVALID);
    CHECK(host->validate(context, VERDICT, of(NULL, 1)) == MILLRACE_INVALID);
    CHECK(host->validate(context, VERDICT, of(&request, UINT64_MAX)) == MILLRACE_INVALID);
    CHECK(host->announce_proposal(context, of(NULL, 1)) == MILLRACE_INVALID);
    CHECK(host->submit_finalized(context, of(NULL, 1), millrace_text("")) == MILLRACE_INVALID);
    CHECK(host->submit_finalized(context, millrace_text("b"), of(NULL, 1)) == MILLRACE_INVALID);
    CHECK(host->timer_cancel(context, 12345) == MILLRACE_INVALID);
    CHECK(host->timer_set(context, 0, 1) == MILLRACE_INVALID);
    char long_key[257];
    memset(long_key, 'k', sizeof long_key);
    CHECK(host->kv_get(context, GET, of(long_key, 0)) == MILLRACE_INVALID);
    CHECK(host->kv_get(context, GET, of(long_key, 257)) == MILLRACE_INVALID);
    static char long_value[(1 << 20) + 1];
    CHECK(host->kv_put(context, PUT, millrace_text("k"), of(long_value, sizeof long_value)) == MILLRACE_INVALID);
    CHECK(host->log(context, 9, millrace_text("no such level")) == MILLRACE_INVALID);
    CHECK(host->log(context, MILLRACE_LOG_INFO, of("\xff\xfe", 2)) == MILLRACE_OK);
    CHECK(host->metric(context, MILLRACE_METRIC_GAUGE, millrace_text("Loud"), 1) == MILLRACE_INVALID);
    CHECK(host->metric(context, MILLRACE_METRIC_GAUGE, millrace_text(""), 1) == MILLRACE_INVALID);
    CHECK(host->metric(context, MILLRACE_METRIC_GAUGE, millrace_text("g"), NAN) == MILLRACE_INVALID);
    CHECK(host->metric(context, MILLRACE_METRIC_COUNTER, millrace_text("c"), -1) == MILLRACE_INVALID);
    CHECK(host->metric(context, 8, millrace_text("k"), 1) == MILLRACE_INVALID);
    CHECK(host->fatal(context, MILLRACE_AGAIN, millrace_text("not a failure")) == MILLRACE_INVALID);
    CHECK(host->extension(context, millrace_text("telepathy/1")) == NULL);
    CHECK(host->extension(context, of(NULL, 1)) == NULL);
    return MILLRACE_OK;
}

static MillraceStatus requests(void)
{
    void *context = host->context;
    MillraceBuildRequest request = a_request();
    CHECK(host->request_block(context, BUILD, &request) == MILLRACE_OK);
    CHECK(host->request_block(context, BUILD, &request) == MILLRACE_INVALID); /* in use: not delivered yet */
    CHECK(host->request_block(context, HELD, &request) == MILLRACE_OK);
    char block[] = "a block";
    CHECK(host->validate(context, VERDICT, millrace_text(block)) == MILLRACE_OK);
    memset(block, 0, sizeof block); /* was copied */
    CHECK(host->kv_get(context, GET, millrace_text("ab")) == MILLRACE_OK);
    CHECK(host->kv_put(context, PUT, millrace_text("k"), millrace_text("v")) == MILLRACE_OK);
    CHECK(host->kv_remove(context, REMOVE, millrace_text("k")) == MILLRACE_OK);
    uint64_t then = host->now_ms(context);
    CHECK(then > 1500000000000u && host->now_ms(context) >= then);
    char name[] = "metric_000";
    for (int i = 0; i < 128; i++) { /* what was refused above was not counted */
        snprintf(name, sizeof name, "m%d", i);
        CHECK(host->metric(context, MILLRACE_METRIC_HISTOGRAM, millrace_text(name), i) == MILLRACE_OK);
    }
    CHECK(host->metric(context, MILLRACE_METRIC_COUNTER, millrace_text("one_too_many"), 1) == MILLRACE_INVALID);
    CHECK(host->metric(context, MILLRACE_METRIC_HISTOGRAM, millrace_text("m0"), 1) == MILLRACE_OK);
    return MILLRACE_OK;
}

/* The test's engine answers: AGAIN, OK, INVALID, UNKNOWN_PARENT, STOPPED. */
static MillraceStatus submissions(void)
{
    static const MillraceStatus expected[] = {
        MILLRACE_AGAIN, MILLRACE_OK, MILLRACE_INVALID, MILLRACE_UNKNOWN_PARENT, MILLRACE_STOPPED};
    for (int i = 0; i < 5; i++)
        CHECK(host->submit_finalized(host->context, millrace_text("final"), millrace_text("signed")) == expected[i]);
    return MILLRACE_OK;
}

static MillraceStatus fork_choice(void)
{
    void *context = host->context;
    const MillraceForkChoice *table = host->extension(context, millrace_text("fork-choice/1"));
#ifdef EXPECT_FORK_CHOICE
    CHECK(table != NULL && table->size >= sizeof *table);
    MillraceHash hash = {{8}};
    CHECK(table->import_block(context, millrace_text("block")) == MILLRACE_OK);
    CHECK(table->set_head(context, HEAD, NULL) == MILLRACE_INVALID);
    CHECK(table->set_head(context, HEAD, &hash) == MILLRACE_OK);
    CHECK(table->finalize(context, &hash, millrace_text("signed")) == MILLRACE_UNKNOWN_PARENT);
#else
    CHECK(table == NULL);
#endif
    return MILLRACE_OK;
}

/* As many requests as there may be, then one more. Some are under way already, in number `under_way`. */
static MillraceStatus too_many(int under_way)
{
    int set = TIMERS - under_way;
    for (int i = 0; i < set; i++)
        CHECK(host->timer_set(host->context, FIRST_TIMER + i, i == 0 ? 1 : 3600 * 1000) == MILLRACE_OK);
    CHECK(host->timer_set(host->context, FIRST_TIMER + set, 1) == MILLRACE_TRANSIENT);
    for (int i = 1; i < set / 2; i++)
        CHECK(host->timer_cancel(host->context, FIRST_TIMER + i) == MILLRACE_OK);
    CHECK(host->timer_cancel(host->context, FIRST_TIMER + 1) == MILLRACE_INVALID);
    CHECK(host->timer_set(host->context, FIRST_TIMER + 1, 1) == MILLRACE_INVALID); /* its end is not delivered yet */
    return MILLRACE_OK;
}

static MillraceStatus start(const MillraceHost *the_host, const MillraceChainState *chain, void **instance)
{
    host = the_host;
    *instance = NULL;
    CHECK(host->magic == MILLRACE_HOST_MAGIC && host->abi_major == 1 && host->size >= sizeof *host);
    CHECK(chain->size >= sizeof *chain && chain->chain_id == 7 && chain->finalized_height == 11);
    CHECK(chain->finalized_hash.bytes[31] == 5 && chain->consensus_id.len == 13);
    CHECK(chain->now_ms <= host->now_ms(host->context));
    CHECK(chain->config.len < sizeof report);
    memcpy(report, chain->config.data, chain->config.len);
    MillraceStatus status = refusals();
    if (status == MILLRACE_OK)
        status = requests();
    if (status == MILLRACE_OK)
        status = submissions();
    if (status == MILLRACE_OK)
        status = fork_choice();
    if (status == MILLRACE_OK)
        status = too_many(HEAD - 1 + (host->extension(host->context, millrace_text("fork-choice/1")) != NULL));
    return status;
}

static MillraceStatus completed(MillraceEvent *event)
{
    CHECK(event->token < FIRST_TIMER + TIMERS);
    completions[event->token]++;
    endings[event->token] = event->status;
    if (event->token == BUILD) {
        CHECK(event->kind == MILLRACE_EVENT_BLOCK_BUILT && event->status == MILLRACE_OK);
        CHECK(event->data.block.height == 12 && event->data.block.hash.bytes[0] == 1);
        kept = millrace_take(&event->data.block.bytes);
    } else if (event->token == VERDICT) {
        CHECK(event->kind == MILLRACE_EVENT_VERDICT && event->data.mark.hash.bytes[0] == 2);
    } else if (event->token == GET) {
        CHECK(event->kind == MILLRACE_EVENT_KV_VALUE && event->data.value.len == 4);
        CHECK(memcmp(event->data.value.data, "abab", 4) == 0);
    } else if (event->token == PUT || event->token == REMOVE) {
        CHECK(event->kind == MILLRACE_EVENT_KV_STORED && event->status == MILLRACE_OK);
    } else if (event->token == HEAD) {
        CHECK(event->kind == MILLRACE_EVENT_HEAD_MOVED && event->status == MILLRACE_INVALID);
        CHECK(event->data.mark.hash.bytes[0] == 4 && event->reason.len == 17);
    } else if (event->token >= FIRST_TIMER) {
        CHECK(event->kind == MILLRACE_EVENT_TIMER);
    }
    return MILLRACE_OK;
}

static MillraceStatus deliver(void *instance, MillraceEvent *event)
{
    static uint64_t last_ms;
    CHECK(instance == NULL && event->size >= sizeof *event && event->now_ms >= last_ms);
    last_ms = event->now_ms;
    if (event->token) {
        MillraceStatus status = completed(event);
        if (status != MILLRACE_OK)
            return status;
    }
    CHECK(event->token || event->status == MILLRACE_OK);
    if (event->kind == MILLRACE_EVENT_PROPOSAL) {
        CHECK(event->data.block.bytes.len == 1000);
        proposals++; /* its buffer is left to the host */
    } else if (event->kind == MILLRACE_EVENT_CREDIT) {
        CHECK(event->data.credit.blocks == 3 && event->data.credit.gas == 9);
        credits++;
        MillracePressureValues values = {0};
        CHECK(millrace_pressure_read(host->pressure, &values) == 1 && values.max_gas == 77 && values.rung == 2);
    }
    int all = completions[BUILD] && completions[VERDICT] && completions[GET] && completions[PUT]
        && completions[REMOVE] && completions[FIRST_TIMER] && proposals == 2 && credits == 1;
    if (all && !ready++)
        CHECK(host->announce_proposal(host->context, millrace_text("ready")) == MILLRACE_OK);
    return MILLRACE_OK;
}

/* What the host's functions answer when all is over; the host's tables outlive the plugin. */
static void *after_stop(void *unused)
{
    (void)unused;
    void *context = host->context;
    struct timespec moment = {0, 1000000};
    while (host->log(context, MILLRACE_LOG_INFO, millrace_text("still here")) != MILLRACE_STOPPED)
        nanosleep(&moment, NULL);
    MillraceBuildRequest request = a_request();
    MillraceBytes text = millrace_text("x");
    int stopped = host->request_block(context, BUILD, &request) == MILLRACE_STOPPED
        && host->validate(context, VERDICT, text) == MILLRACE_STOPPED
        && host->announce_proposal(context, text) == MILLRACE_STOPPED
        && host->submit_finalized(context, text, text) == MILLRACE_STOPPED
        && host->kv_get(context, GET, text) == MILLRACE_STOPPED
        && host->kv_put(context, PUT, text, text) == MILLRACE_STOPPED
        && host->kv_remove(context, REMOVE, text) == MILLRACE_STOPPED
        && host->timer_set(context, 1, 1) == MILLRACE_STOPPED && host->timer_cancel(context, 1) == MILLRACE_STOPPED
        && host->metric(context, MILLRACE_METRIC_GAUGE, text, 1) == MILLRACE_STOPPED
        && host->fatal(context, MILLRACE_E_FATAL, text) == MILLRACE_STOPPED
        && host->extension(context, millrace_text("fork-choice/1")) == NULL && host->now_ms(context) > 0;
    MillracePressureValues values;
    int readable = millrace_pressure_read(host->pressure, &values);
    FILE *file = fopen(report, "w");
    fprintf(file, "stopped %d readable %d", stopped, readable);
    fclose(file);
    return NULL;
}

static MillraceStatus stop(void *instance, uint64_t deadline_ms)
{
    CHECK(instance == NULL && deadline_ms > 0 && deadline_ms <= 10000);
    CHECK(proposals == 2 && credits == 1);
    for (int token = 1; token <= HELD; token++)
        CHECK(completions[token] == 1);
    CHECK(endings[HELD] == MILLRACE_ABORTED);
    int due = 0, aborted = 0;
    for (int i = 0; i < TIMERS; i++) {
        CHECK(completions[FIRST_TIMER + i] <= 1);
        due += completions[FIRST_TIMER + i] && endings[FIRST_TIMER + i] == MILLRACE_OK;
        aborted += completions[FIRST_TIMER + i] && endings[FIRST_TIMER + i] == MILLRACE_ABORTED;
    }
    CHECK(due == 1 && aborted == TIMERS - HELD - completions[HEAD] - 1);
    CHECK(kept.len == 1000 && kept.data[0] == 1 && kept.data[999] == 1);
    millrace_release(&kept);
    CHECK(kept.data == NULL && kept.release == NULL);
    CHECK(host->timer_set(host->context, 1, 1) == MILLRACE_STOPPED);
    CHECK(host->log(host->context, MILLRACE_LOG_INFO, millrace_text("stopping")) == MILLRACE_OK);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, after_stop, NULL) == 0);
    pthread_detach(thread);
    return MILLRACE_OK;
}

const MillracePlugin millrace_plugin = {
    .magic = MILLRACE_PLUGIN_MAGIC, .abi_major = MILLRACE_ABI_MAJOR, .abi_minor = MILLRACE_ABI_MINOR,
    .size = sizeof(MillracePlugin), .consensus_id = "calls/1", .version = "in C", .start = start, .deliver = deliver,
    .stop = stop};
