/* Millrace: the C ABI of consensus plugins.
 *
 * Generated from the crate millrace-plugin-abi; do not edit. A test of that crate regenerates and compares it.
 * The contract (who calls what, when, from which thread; who owns what) is docs/spec/plugin-abi.md.
 *
 * A plugin includes this header in one file, says MILLRACE_PLUGIN_NOTE("its-consensus-id/1") and defines
 * `const MillracePlugin millrace_plugin`. Build with cc -std=c11 -shared -fPIC.
 */

#ifndef MILLRACE_PLUGIN_H
#define MILLRACE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__GNUC__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Millrace plugins are built for little-endian machines by GCC or Clang"
#endif

/*
 Major version of the ABI. Host and plugin must have the same.
 */
#define MILLRACE_ABI_MAJOR 1

/*
 Minor version of the ABI. Each side takes any minor of the other: fields beyond the other's size are absent.
 */
#define MILLRACE_ABI_MINOR 0

/*
 Version of the canonical bytes of blocks and headers that cross the ABI. Host and plugin must have the same.
 */
#define MILLRACE_SCHEMA 1

/*
 First word of the table that a plugin exports: the bytes `MLRPLUG1` in memory order.
 */
#define MILLRACE_PLUGIN_MAGIC 3550900617458371661

/*
 First word of the table that the host hands over: the bytes `MLRHOST1` in memory order.
 */
#define MILLRACE_HOST_MAGIC 3554557605883038797

/*
 Completes `request_block`. Status: `OK` with the block; `TRANSIENT` when there is nothing to do now (a work
 event follows); `UNKNOWN_PARENT`; `INVALID` with a reason; `STOPPED`, the engine builds nothing more; `ABORTED`.
 */
#define MILLRACE_EVENT_BLOCK_BUILT 1

/*
 Completes `validate`. Status: `OK`, valid; `INVALID` with a reason; `UNKNOWN_PARENT`; `TRANSIENT`, ask again
 later; `ABORTED`.
 */
#define MILLRACE_EVENT_VERDICT 2

/*
 There is room for this many blocks and this much gas. Follows every `AGAIN`.
 */
#define MILLRACE_EVENT_CREDIT 3

/*
 A proposal that reached this node, to be validated and voted on.
 */
#define MILLRACE_EVENT_PROPOSAL 4

/*
 The head moved; completes `set_head` when it has a token. Status: `OK`; `INVALID` with the offending block as
 hash; `ABORTED`, superseded by a later `set_head` or cut short by stop.
 */
#define MILLRACE_EVENT_HEAD_MOVED 5

/*
 Completes `timer_set`. Status: `OK`, it is due; `ABORTED`, cancelled.
 */
#define MILLRACE_EVENT_TIMER 6

/*
 The newest finalized block settles up to this height.
 */
#define MILLRACE_EVENT_SETTLED 7

/*
 Every finalized block up to this height is durable here, with its certificate. What is above may have to be
 handed over again after a restart.
 */
#define MILLRACE_EVENT_FINALIZED 8

/*
 A `request_block` that was answered by `TRANSIENT` may succeed now.
 */
#define MILLRACE_EVENT_WORK 9

/*
 Completes `kv_get`. Status: `OK` with the value; `NOT_FOUND`; `ABORTED`.
 */
#define MILLRACE_EVENT_KV_VALUE 10

/*
 Completes `kv_put` and `kv_remove`, once durable. Status: `OK`; `INVALID` with a reason; `ABORTED`.
 */
#define MILLRACE_EVENT_KV_STORED 11

/*
 `BuildRequest::flags`: build a block even if it would carry no transaction and settle nothing that anyone waits
 for. The rules of settlement still hold: at the lag limit there is no block.
 */
#define MILLRACE_BUILD_EMPTY 1

/*
 `log` level: something failed.
 */
#define MILLRACE_LOG_ERROR 1

/*
 `log` level: something is wrong and the plugin goes on.
 */
#define MILLRACE_LOG_WARN 2

/*
 `log` level: an operator wants to know.
 */
#define MILLRACE_LOG_INFO 3

/*
 `log` level: an author wants to know.
 */
#define MILLRACE_LOG_DEBUG 4

/*
 `log` level: every step.
 */
#define MILLRACE_LOG_TRACE 5

/*
 `metric` kind: adds `value`, which is at least 0, to a counter.
 */
#define MILLRACE_METRIC_COUNTER 1

/*
 `metric` kind: sets a gauge to `value`.
 */
#define MILLRACE_METRIC_GAUGE 2

/*
 `metric` kind: records `value` in a histogram.
 */
#define MILLRACE_METRIC_HISTOGRAM 3

/*
 Bytes of the name that count: `Millrace` and one zero.
 */
#define MILLRACE_NOTE_NAME_SIZE 9

/*
 The note's type: "consensus plugin".
 */
#define MILLRACE_NOTE_TYPE 1

/*
 Bytes of a consensus id at most.
 */
#define MILLRACE_IDENTITY_MAX 56

/*
 How often a reader tries before it keeps its last copy.
 */
#define MILLRACE_PRESSURE_READ_ATTEMPTS 16

/*
 A status code. Any value may arrive from the other side, so this is a number and not an enum.
 */
typedef int32_t MillraceStatus;

/*
 The record. `size` is constant; all else is written by the host alone.
 */
typedef struct MillracePressure {
    /*
     Size of this record, in bytes. Fields are appended by later minor versions.
     */
    uint64_t size;
    /*
     Even when the values are whole; 0 before the first were written.
     */
    uint64_t sequence;
    /*
     See MillracePressureValues::credit_blocks.
     */
    uint64_t credit_blocks;
    /*
     See MillracePressureValues::credit_gas.
     */
    uint64_t credit_gas;
    /*
     See MillracePressureValues::max_gas.
     */
    uint64_t max_gas;
    /*
     See MillracePressureValues::max_bytes.
     */
    uint64_t max_bytes;
    /*
     See MillracePressureValues::min_interval_ms.
     */
    uint64_t min_interval_ms;
    /*
     See MillracePressureValues::executed_height.
     */
    uint64_t executed_height;
    /*
     See MillracePressureValues::persisted_height.
     */
    uint64_t persisted_height;
    /*
     See MillracePressureValues::settled_height.
     */
    uint64_t settled_height;
    /*
     See MillracePressureValues::finalized_height.
     */
    uint64_t finalized_height;
    /*
     See MillracePressureValues::oldest_in_flight_ms.
     */
    uint64_t oldest_in_flight_ms;
    /*
     See MillracePressureValues::rung.
     */
    uint64_t rung;
} MillracePressure;

/*
 A 32-byte hash or address.
 */
typedef struct MillraceHash {
    /*
     The bytes, in the order in which they are written as hexadecimal.
     */
    uint8_t bytes[32];
} MillraceHash;

/*
 Borrowed bytes: valid until the call that they are an argument of returns. Text is UTF-8, not terminated.
 */
typedef struct MillraceBytes {
    /*
     The first byte. May be null when `len` is 0.
     */
    const uint8_t *data;
    /*
     How many.
     */
    uint64_t len;
} MillraceBytes;

/*
 A block to be built.
 */
typedef struct MillraceBuildRequest {
    /*
     Size of this record, in bytes.
     */
    uint32_t size;
    /*
     MILLRACE_BUILD_EMPTY or 0.
     */
    uint32_t flags;
    /*
     The parent.
     */
    struct MillraceHash parent_hash;
    /*
     Who receives the tips: an address.
     */
    struct MillraceHash proposer;
    /*
     Gas at most; 0 for the chain's limit. The engine takes the smallest of this, the chain's and its own.
     */
    uint64_t max_gas;
    /*
     Canonical bytes at most; 0 for the chain's limit.
     */
    uint64_t max_bytes;
    /*
     The block's timestamp; 0 for now. The engine raises it to the parent's if it is less.
     */
    uint64_t timestamp_ms;
    /*
     The header's consensus data; bounded by the chain spec.
     */
    struct MillraceBytes consensus_data;
} MillraceBuildRequest;

/*
 The table that `start` is given. It, its context and the pressure record are never freed.

 Every function may be called from any thread, within `deliver` too, takes `context` first, copies its inputs
 before it returns, never blocks on the plugin and never calls into it. After stop every one that returns a status
 returns `STOPPED`.

 Functions with a token begin a request: on `OK`, and only then, an event with this token follows. Tokens are the
 plugin's choice; they are not 0 and not in use by a request under way, or the answer is `INVALID`. With 1,024
 requests under way the answer is `TRANSIENT`.
 */
typedef struct MillraceHost {
    /*
     MILLRACE_HOST_MAGIC.
     */
    uint64_t magic;
    /*
     MILLRACE_ABI_MAJOR of the host.
     */
    uint16_t abi_major;
    /*
     MILLRACE_ABI_MINOR of the host.
     */
    uint16_t abi_minor;
    /*
     Size of this table, in bytes, as the host knows it.
     */
    uint32_t size;
    /*
     First argument of every function.
     */
    void *context;
    /*
     The pressure record: read it with `millrace_pressure_read`.
     */
    const struct MillracePressure *pressure;
    /*
     Requests a block on a parent, within limits. Completed by MILLRACE_EVENT_BLOCK_BUILT.
     */
    MillraceStatus (*request_block)(void *context, uint64_t token, const struct MillraceBuildRequest *request);
    /*
     Requests the verdict on a block. Completed by MILLRACE_EVENT_VERDICT.
     */
    MillraceStatus (*validate)(void *context, uint64_t token, struct MillraceBytes block);
    /*
     Tells of a proposal that is being voted on, so that the engine may execute it ahead of its finalization.
     */
    MillraceStatus (*announce_proposal)(void *context, struct MillraceBytes block);
    /*
     Hands over a finalized block and its certificate: the child of the last one taken over, or any before it
     again. `OK` takes both over and spends a credit; `AGAIN` takes nothing and is followed by
     MILLRACE_EVENT_CREDIT; after `UNKNOWN_PARENT` and `INVALID` the engine stops, for the plugin broke its
     duty. MILLRACE_EVENT_FINALIZED tells when they are durable.
     */
    MillraceStatus (*submit_finalized)(void *context,
                                       struct MillraceBytes block,
                                       struct MillraceBytes certificate);
    /*
     Requests a value of the plugin's durable store. Keys have 1 to 256 bytes. Completed by
     MILLRACE_EVENT_KV_VALUE.
     */
    MillraceStatus (*kv_get)(void *context, uint64_t token, struct MillraceBytes key);
    /*
     Stores a value of at most 1 MiB. Writes become durable in the order of their calls. Completed by
     MILLRACE_EVENT_KV_STORED.
     */
    MillraceStatus (*kv_put)(void *context,
                             uint64_t token,
                             struct MillraceBytes key,
                             struct MillraceBytes value);
    /*
     Removes a value. Completed by MILLRACE_EVENT_KV_STORED.
     */
    MillraceStatus (*kv_remove)(void *context, uint64_t token, struct MillraceBytes key);
    /*
     Sets a timer that is due `delay_ms` milliseconds from now. Completed by MILLRACE_EVENT_TIMER.
     */
    MillraceStatus (*timer_set)(void *context, uint64_t token, uint64_t delay_ms);
    /*
     Cancels a timer, which completes as `ABORTED`; `INVALID` if none with this token waits (it may be due
     already, and its event on the way).
     */
    MillraceStatus (*timer_cancel)(void *context, uint64_t token);
    /*
     Milliseconds since the epoch by the host's clock; never falls. Works always.
     */
    uint64_t (*now_ms)(void *context);
    /*
     Writes to the node's log. Longer than 16 KiB is cut.
     */
    MillraceStatus (*log)(void *context, uint32_t level, struct MillraceBytes message);
    /*
     Reports a metric. Names have 1 to 64 bytes of `a-z`, `0-9` and `_`, at most 128 names per plugin; the node
     adds its prefix and the plugin's id.
     */
    MillraceStatus (*metric)(void *context, uint32_t kind, struct MillraceBytes name, double value);
    /*
     The plugin cannot go on: it is not entered again and the engine drains. `status` is one of the `E_` codes and
     `reason` is for the operator. From within `start` it gives the reason of the failure that `start` then returns.
     */
    MillraceStatus (*fatal)(void *context, MillraceStatus status, struct MillraceBytes reason);
    /*
     The table of an optional capability, for example `fork-choice/1`, or null if this host does not offer it.
     */
    const void *(*extension)(void *context, struct MillraceBytes name);
} MillraceHost;

/*
 What a plugin learns about the chain when it starts. Borrowed for the call.
 */
typedef struct MillraceChainState {
    /*
     Size of this record, in bytes.
     */
    uint32_t size;
    /*
     Zero.
     */
    uint32_t reserved;
    /*
     Bound into every certificate.
     */
    uint64_t chain_id;
    /*
     The consensus id of the chain spec.
     */
    struct MillraceBytes consensus_id;
    /*
     The chain spec's consensus parameters: the same on every node; the plugin's own encoding.
     */
    struct MillraceBytes parameters;
    /*
     The operator's configuration of this plugin on this node; the plugin's own encoding.
     */
    struct MillraceBytes config;
    /*
     Hash of the chain spec.
     */
    struct MillraceHash chain_spec_hash;
    /*
     Hash of the genesis block.
     */
    struct MillraceHash genesis_hash;
    /*
     The genesis block's canonical bytes.
     */
    struct MillraceBytes genesis_block;
    /*
     Hash of the last finalized block that is durable here. Whatever the plugin finalized after it, it hands over
     again; handing over older blocks again is harmless.
     */
    struct MillraceHash finalized_hash;
    /*
     That block's height; 0 at genesis.
     */
    uint64_t finalized_height;
    /*
     That block's canonical bytes.
     */
    struct MillraceBytes finalized_block;
    /*
     That block's certificate; empty at genesis.
     */
    struct MillraceBytes finalized_certificate;
    /*
     K of the chain spec: how far settlement may lag behind a block.
     */
    uint64_t max_receipt_lag;
    /*
     The chain spec's gas limit of a block.
     */
    uint64_t block_gas;
    /*
     The chain spec's byte limit of a block.
     */
    uint64_t block_bytes;
    /*
     Milliseconds since the epoch, by the host's clock, at the call.
     */
    uint64_t now_ms;
} MillraceChainState;

/*
 Owned bytes, as the host hands them to a plugin inside an event.

 After `deliver` returns the host releases what is still in the event. To keep the bytes, copy this struct out of
 the event and set the event's `release` to null; then call `release(&copy)` exactly once, from any thread. A
 buffer whose `release` is null owns nothing.
 */
typedef struct MillraceBuffer {
    /*
     The first byte. Null when `len` is 0.
     */
    const uint8_t *data;
    /*
     How many.
     */
    uint64_t len;
    /*
     The maker's own.
     */
    void *owner;
    /*
     The maker's function that frees the bytes and empties the struct.
     */
    void (*release)(struct MillraceBuffer *buffer);
} MillraceBuffer;

/*
 A block with its bytes.
 */
typedef struct MillraceBlockData {
    /*
     Its canonical bytes.
     */
    struct MillraceBuffer bytes;
    /*
     Its hash.
     */
    struct MillraceHash hash;
    /*
     Its parent's hash.
     */
    struct MillraceHash parent_hash;
    /*
     Its height.
     */
    uint64_t height;
} MillraceBlockData;

/*
 A block by name.
 */
typedef struct MillraceBlockMark {
    /*
     Its hash.
     */
    struct MillraceHash hash;
    /*
     Its height.
     */
    uint64_t height;
} MillraceBlockMark;

/*
 Room in the queue of finalized blocks.
 */
typedef struct MillraceCredit {
    /*
     Blocks that would be taken now.
     */
    uint64_t blocks;
    /*
     Gas that they may have together.
     */
    uint64_t gas;
} MillraceCredit;

/*
 What belongs to a kind.
 */
typedef union MillraceEventData {
    /*
     Of MILLRACE_EVENT_BLOCK_BUILT and MILLRACE_EVENT_PROPOSAL.
     */
    struct MillraceBlockData block;
    /*
     Of MILLRACE_EVENT_VERDICT, MILLRACE_EVENT_HEAD_MOVED, MILLRACE_EVENT_SETTLED and MILLRACE_EVENT_FINALIZED.
     */
    struct MillraceBlockMark mark;
    /*
     Of MILLRACE_EVENT_CREDIT.
     */
    struct MillraceCredit credit;
    /*
     Of MILLRACE_EVENT_KV_VALUE.
     */
    struct MillraceBuffer value;
} MillraceEventData;

/*
 One event. Lent to the plugin for the call of `deliver`.
 */
typedef struct MillraceEvent {
    /*
     Size of this record, in bytes.
     */
    uint32_t size;
    /*
     Which event; unknown kinds are ignored.
     */
    uint32_t kind;
    /*
     The request that it completes, or 0.
     */
    uint64_t token;
    /*
     Milliseconds since the epoch by the host's clock when the event was delivered; never falls.
     */
    uint64_t now_ms;
    /*
     How the request ended; `OK` without a token.
     */
    MillraceStatus status;
    /*
     Zero.
     */
    uint32_t reserved;
    /*
     Why, for people, when `status` is not `OK`; may be empty.
     */
    struct MillraceBytes reason;
    /*
     What belongs to the kind. All zeros where the kind has no data or the status is not `OK`, but for the hash of
     a refused `set_head`.
     */
    union MillraceEventData data;
} MillraceEvent;

/*
 The table that a plugin exports as the data symbol `millrace_plugin`. It is constant and lives as long as the
 process: a plugin is never unloaded.

 All three calls are made on one thread of the host, in this order, never overlapping.
 */
typedef struct MillracePlugin {
    /*
     MILLRACE_PLUGIN_MAGIC.
     */
    uint64_t magic;
    /*
     MILLRACE_ABI_MAJOR that the plugin was built for.
     */
    uint16_t abi_major;
    /*
     MILLRACE_ABI_MINOR that the plugin was built for.
     */
    uint16_t abi_minor;
    /*
     Size of this table, in bytes, as the plugin knows it.
     */
    uint32_t size;
    /*
     The consensus id, as in the note; UTF-8, terminated by zero.
     */
    const char *consensus_id;
    /*
     The plugin's own version, for people; UTF-8, terminated by zero.
     */
    const char *version;
    /*
     Starts the plugin. `host` and what it points to live as long as the process; `chain` and the bytes that it
     names are borrowed for the call. On `OK` the plugin has written its instance, which may be null, to
     `*instance`. Otherwise `E_ABI`, `E_CONFIG`, `E_PANIC` or `E_FATAL`, and the reason was sent to `fatal`.
     */
    MillraceStatus (*start)(const struct MillraceHost *host,
                            const struct MillraceChainState *chain,
                            void **instance);
    /*
     Delivers one event. Returns `OK`, also for kinds that the plugin does not know; anything else means that the
     plugin has failed, and it is not entered again. The event is lent for the call; see MillraceBuffer.
     */
    MillraceStatus (*deliver)(void *instance, struct MillraceEvent *event);
    /*
     Stops the plugin and frees the instance, within `deadline_ms` milliseconds. Every token has completed before.
     */
    MillraceStatus (*stop)(void *instance, uint64_t deadline_ms);
} MillracePlugin;

/*
 The table behind the capability `fork-choice/1`. The functions take the host's `context`.
 */
typedef struct MillraceForkChoice {
    /*
     Size of this table, in bytes, as the host knows it.
     */
    uint32_t size;
    /*
     Blocks above finality that this node keeps, over all branches; 0 where the host does not say. A head chain that is
     longer stops the engine, so a plugin whose depth to finality does not fit says so at its start.
     */
    uint32_t max_unfinalized_blocks;
    /*
     Hands over a block that may become head; its parent must be known. `OK`, `AGAIN` (a credit event follows),
     `INVALID` or `UNKNOWN_PARENT`. A block that is known already is `OK`.
     */
    MillraceStatus (*import_block)(void *context, struct MillraceBytes block);
    /*
     Makes a block the head, once it is valid. Completed by MILLRACE_EVENT_HEAD_MOVED.
     */
    MillraceStatus (*set_head)(void *context, uint64_t token, const struct MillraceHash *hash);
    /*
     Finalizes a block that was handed over, and all its ancestors. As `submit_finalized`.
     */
    MillraceStatus (*finalize)(void *context,
                               const struct MillraceHash *hash,
                               struct MillraceBytes certificate);
} MillraceForkChoice;

/*
 What the note says.
 */
typedef struct MillraceNoteDescriptor {
    /*
     ABI major version that the plugin was built for.
     */
    uint16_t abi_major;
    /*
     ABI minor version that the plugin was built for.
     */
    uint16_t abi_minor;
    /*
     Version of the canonical bytes that it reads and writes.
     */
    uint32_t schema;
    /*
     Its consensus id, for example `solo/1`, filled up with zeros.
     */
    uint8_t identity[MILLRACE_IDENTITY_MAX];
} MillraceNoteDescriptor;

/*
 The note as it lies in its section.
 */
typedef struct MillraceNote {
    /*
     Length of the name: MILLRACE_NOTE_NAME_SIZE.
     */
    uint32_t name_size;
    /*
     Length of the descriptor: 64.
     */
    uint32_t descriptor_size;
    /*
     MILLRACE_NOTE_TYPE.
     */
    uint32_t note_type;
    /*
     MILLRACE_NOTE_NAME.
     */
    uint8_t name[12];
    /*
     What the note says.
     */
    struct MillraceNoteDescriptor descriptor;
} MillraceNote;

/*
 One whole reading of the record.
 */
typedef struct MillracePressureValues {
    /*
     Finalized blocks that would be taken now. Hard: beyond it submitting answers `AGAIN`.
     */
    uint64_t credit_blocks;
    /*
     Gas that they may have together.
     */
    uint64_t credit_gas;
    /*
     Gas that the next proposal should have at most.
     */
    uint64_t max_gas;
    /*
     Bytes that the next proposal should have at most.
     */
    uint64_t max_bytes;
    /*
     Milliseconds that should pass between two proposals at least.
     */
    uint64_t min_interval_ms;
    /*
     Newest head-chain block whose receipt is durable here.
     */
    uint64_t executed_height;
    /*
     Newest block whose state record is durable here.
     */
    uint64_t persisted_height;
    /*
     s(F): what the newest finalized block settles up to.
     */
    uint64_t settled_height;
    /*
     Newest finalized block.
     */
    uint64_t finalized_height;
    /*
     Milliseconds that the oldest block in flight has been waiting to be persisted; 0 with none.
     */
    uint64_t oldest_in_flight_ms;
    /*
     Where the engine is on the ladder: 0 no pressure, 1 shrink, 2 delay, 3 empty blocks, 4 no block.
     */
    uint64_t rung;
} MillracePressureValues;

/*
 Done, or taken over.
 */
#define MILLRACE_OK 0

/*
 The bounded queue behind the call is full. Nothing was taken; a credit event follows once there is room.
 */
#define MILLRACE_AGAIN 1

/*
 Not now, for a reason that resolves by itself. After `request_block` a work event follows once a build may succeed.
 */
#define MILLRACE_TRANSIENT 2

/*
 Permanently refused: the input is wrong and will stay wrong.
 */
#define MILLRACE_INVALID 3

/*
 The block's parent is not known here. Hand over the ancestors first.
 */
#define MILLRACE_UNKNOWN_PARENT 4

/*
 The plugin has been stopped, or has failed; nothing more is taken.
 */
#define MILLRACE_STOPPED 5

/*
 How a request ends that was cancelled or cut short by stop.
 */
#define MILLRACE_ABORTED 6

/*
 How a `kv_get` ends whose key holds nothing.
 */
#define MILLRACE_NOT_FOUND 7

/*
 From a plugin: the other side's table or record is not what this ABI version says.
 */
#define MILLRACE_E_ABI -1

/*
 From `start`: the operator's configuration or the chain's parameters are wrong. Send the reason to `fatal`.
 */
#define MILLRACE_E_CONFIG -2

/*
 From a plugin: a panic or an exception was caught at the boundary.
 */
#define MILLRACE_E_PANIC -3

/*
 From a plugin: it cannot go on. From the host: the host function itself failed.
 */
#define MILLRACE_E_FATAL -4

#endif  /* MILLRACE_PLUGIN_H */

/* The table that the plugin exports. */
extern const MillracePlugin millrace_plugin __attribute__((visibility("default")));

/* Emits the ELF note by which the host recognises the plugin. `identity` is a string literal of 1 to 56 bytes. */
#define MILLRACE_PLUGIN_NOTE(id)                                                                           \
    _Static_assert(sizeof(id) > 1 && sizeof(id) <= MILLRACE_IDENTITY_MAX + 1, "1 to 56 bytes");            \
    __attribute__((used, section(".note.millrace"))) static const MillraceNote millrace_plugin_note = {    \
        MILLRACE_NOTE_NAME_SIZE, sizeof(MillraceNoteDescriptor), MILLRACE_NOTE_TYPE, "Millrace",           \
        {MILLRACE_ABI_MAJOR, MILLRACE_ABI_MINOR, MILLRACE_SCHEMA, id}}

/* Text as borrowed bytes. */
static inline MillraceBytes millrace_text(const char *text)
{
    MillraceBytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

/* Takes an event's buffer: it is the caller's now, who calls millrace_release once. */
static inline MillraceBuffer millrace_take(MillraceBuffer *buffer)
{
    MillraceBuffer taken = *buffer;
    buffer->release = NULL;
    return taken;
}

/* Gives a taken buffer back to its maker. */
static inline void millrace_release(MillraceBuffer *buffer)
{
    if (buffer->release)
        buffer->release(buffer);
}

/*
 Reads the pressure record. Returns 1 and a whole reading, or 0 and leaves `values` as the last copy: nothing was
 written yet, or the writer was in the way at every attempt. Never waits.
 */
static inline int millrace_pressure_read(const MillracePressure *record, MillracePressureValues *values)
{
    const uint64_t *words = &record->credit_blocks;
    uint64_t copy[sizeof(MillracePressureValues) / sizeof(uint64_t)];
    for (uint32_t attempt = 0; attempt < MILLRACE_PRESSURE_READ_ATTEMPTS; attempt++) {
        uint64_t before = __atomic_load_n(&record->sequence, __ATOMIC_ACQUIRE);
        if (before == 0)
            return 0;
        for (size_t i = 0; i < sizeof(copy) / sizeof(copy[0]); i++)
            copy[i] = __atomic_load_n(&words[i], __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (before % 2 == 0 && __atomic_load_n(&record->sequence, __ATOMIC_RELAXED) == before) {
            memcpy(values, copy, sizeof(copy));
            return 1;
        }
    }
    return 0;
}
